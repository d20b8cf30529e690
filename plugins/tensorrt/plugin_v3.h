// Any operator of the table as an IPluginV3, TensorRT 10.3 and later.
#pragma once

#include "fields.h"
#include "node.h"

#include <NvInfer.h>

namespace attnexport {

class PluginV3 final : public nvinfer1::IPluginV3,
                       public nvinfer1::IPluginV3OneCore,
                       public nvinfer1::IPluginV3OneBuild,
                       public nvinfer1::IPluginV3OneRuntime {
  public:
    explicit PluginV3(NodePointer node);

    nvinfer1::IPluginCapability *getCapabilityInterface(nvinfer1::PluginCapabilityType type) noexcept override;
    nvinfer1::IPluginV3 *clone() noexcept override;

    // Core
    const char *getPluginName() const noexcept override { return node_->op.name; }
    const char *getPluginVersion() const noexcept override { return kVersion; }
    const char *getPluginNamespace() const noexcept override { return kNamespace; }

    // Build
    int32_t getNbOutputs() const noexcept override { return 1; }
    int32_t getOutputDataTypes(nvinfer1::DataType *outputs, int32_t num_outputs, const nvinfer1::DataType *inputs,
                               int32_t num_inputs) const noexcept override;
    int32_t getOutputShapes(const nvinfer1::DimsExprs *inputs, int32_t num_inputs,
                            const nvinfer1::DimsExprs *shape_inputs, int32_t num_shape_inputs,
                            nvinfer1::DimsExprs *outputs, int32_t num_outputs,
                            nvinfer1::IExprBuilder &builder) noexcept override;
    bool supportsFormatCombination(int32_t place, const nvinfer1::DynamicPluginTensorDesc *tensors, int32_t num_inputs,
                                   int32_t num_outputs) noexcept override;
    int32_t configurePlugin(const nvinfer1::DynamicPluginTensorDesc *inputs, int32_t num_inputs,
                            const nvinfer1::DynamicPluginTensorDesc *outputs, int32_t num_outputs) noexcept override;
    size_t getWorkspaceSize(const nvinfer1::DynamicPluginTensorDesc *inputs, int32_t num_inputs,
                            const nvinfer1::DynamicPluginTensorDesc *outputs,
                            int32_t num_outputs) const noexcept override;
    int32_t getNbTactics() noexcept override { return 1; }
    int32_t getValidTactics(int32_t *tactics, int32_t num_tactics) noexcept override;
    const char *getTimingCacheID() noexcept override { return node_->description.c_str(); }
    const char *getMetadataString() noexcept override { return node_->description.c_str(); }

    // Runtime
    int32_t setTactic(int32_t tactic) noexcept override;
    int32_t onShapeChange(const nvinfer1::PluginTensorDesc *inputs, int32_t num_inputs,
                          const nvinfer1::PluginTensorDesc *outputs, int32_t num_outputs) noexcept override;
    int32_t enqueue(const nvinfer1::PluginTensorDesc *input_descriptions,
                    const nvinfer1::PluginTensorDesc *output_descriptions, const void *const *inputs,
                    void *const *outputs, void *workspace, cudaStream_t stream) noexcept override;
    nvinfer1::IPluginV3 *attachToContext(nvinfer1::IPluginResourceContext *context) noexcept override;
    const nvinfer1::PluginFieldCollection *getFieldsToSerialize() noexcept override { return written_.collection(); }

  private:
    size_t largest_workspace(const nvinfer1::DynamicPluginTensorDesc *inputs, int32_t num_inputs) const;

    NodePointer node_;
    WrittenFields written_;
    int32_t num_inputs_ = 0;
};

}  // namespace attnexport
