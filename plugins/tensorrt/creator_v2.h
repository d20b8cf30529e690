// Creates the plugins of one operator, for a network and from the bytes of an engine.
#pragma once

#include "fields.h"
#include "node.h"

#include <NvInfer.h>

#include <string>
#include <vector>

namespace attnexport {

class CreatorV2 final : public nvinfer1::IPluginCreator {
  public:
    explicit CreatorV2(const attnexport_op &op) : op_(op), declared_(op), namespace_(kNamespace) {}

    nvinfer1::IPluginV2 *createPlugin(const char *name,
                                      const nvinfer1::PluginFieldCollection *fields) noexcept override;
    nvinfer1::IPluginV2 *deserializePlugin(const char *name, const void *data, size_t size) noexcept override;
    const nvinfer1::PluginFieldCollection *getFieldNames() noexcept override { return declared_.collection(); }
    const char *getPluginName() const noexcept override { return op_.name; }
    const char *getPluginVersion() const noexcept override { return kVersion; }
    void setPluginNamespace(const char *plugin_namespace) noexcept override;
    const char *getPluginNamespace() const noexcept override { return namespace_.c_str(); }

  private:
    const attnexport_op &op_;
    DeclaredFields declared_;
    std::string namespace_;
};

// One creator for each operator of the table.
const std::vector<nvinfer1::IPluginCreator *> &creators_v2();

}  // namespace attnexport
