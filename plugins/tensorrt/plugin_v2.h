// Any operator of the table as an IPluginV2DynamicExt, TensorRT 8.5 and 8.6.
#pragma once

#include "node.h"

#include <NvInfer.h>

#include <string>

namespace attnexport {

class PluginV2 final : public nvinfer1::IPluginV2DynamicExt {
  public:
    PluginV2(NodePointer node, std::string plugin_namespace);

    // IPluginV2
    const char *getPluginType() const noexcept override { return node_->op.name; }
    const char *getPluginVersion() const noexcept override { return kVersion; }
    int32_t getNbOutputs() const noexcept override { return 1; }
    int32_t initialize() noexcept override { return 0; }
    void terminate() noexcept override {}
    size_t getSerializationSize() const noexcept override { return bytes_.size(); }
    void serialize(void *buffer) const noexcept override;
    void destroy() noexcept override { delete this; }
    void setPluginNamespace(const char *plugin_namespace) noexcept override;
    const char *getPluginNamespace() const noexcept override { return namespace_.c_str(); }

    // IPluginV2Ext
    nvinfer1::DataType getOutputDataType(int32_t output, const nvinfer1::DataType *inputs,
                                         int32_t num_inputs) const noexcept override;

    // IPluginV2DynamicExt
    nvinfer1::IPluginV2DynamicExt *clone() const noexcept override;
    nvinfer1::DimsExprs getOutputDimensions(int32_t output, const nvinfer1::DimsExprs *inputs, int32_t num_inputs,
                                            nvinfer1::IExprBuilder &builder) noexcept override;
    bool supportsFormatCombination(int32_t place, const nvinfer1::PluginTensorDesc *tensors, int32_t num_inputs,
                                   int32_t num_outputs) noexcept override;
    void configurePlugin(const nvinfer1::DynamicPluginTensorDesc *inputs, int32_t num_inputs,
                         const nvinfer1::DynamicPluginTensorDesc *outputs, int32_t num_outputs) noexcept override;
    size_t getWorkspaceSize(const nvinfer1::PluginTensorDesc *inputs, int32_t num_inputs,
                            const nvinfer1::PluginTensorDesc *outputs, int32_t num_outputs) const noexcept override;
    int32_t enqueue(const nvinfer1::PluginTensorDesc *input_descriptions,
                    const nvinfer1::PluginTensorDesc *output_descriptions, const void *const *inputs,
                    void *const *outputs, void *workspace, cudaStream_t stream) noexcept override;

  private:
    NodePointer node_;
    std::string bytes_;
    std::string namespace_;
    int32_t num_inputs_ = 0;
    size_t configured_workspace_ = 0;
};

}  // namespace attnexport
