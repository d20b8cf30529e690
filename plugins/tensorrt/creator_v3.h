// Creates the plugins of one operator, for a network and from an engine.
#pragma once

#include "fields.h"
#include "node.h"

#include <NvInfer.h>

#include <vector>

namespace attnexport {

class CreatorV3 final : public nvinfer1::IPluginCreatorV3One {
  public:
    explicit CreatorV3(const attnexport_op &op) : op_(op), declared_(op) {}

    nvinfer1::IPluginV3 *createPlugin(const char *name, const nvinfer1::PluginFieldCollection *fields,
                                      nvinfer1::TensorRTPhase phase) noexcept override;
    const nvinfer1::PluginFieldCollection *getFieldNames() noexcept override { return declared_.collection(); }
    const char *getPluginName() const noexcept override { return op_.name; }
    const char *getPluginVersion() const noexcept override { return kVersion; }
    const char *getPluginNamespace() const noexcept override { return kNamespace; }

  private:
    const attnexport_op &op_;
    DeclaredFields declared_;
};

// One creator for each operator of the table.
const std::vector<nvinfer1::IPluginCreatorInterface *> &creators_v3();

}  // namespace attnexport
