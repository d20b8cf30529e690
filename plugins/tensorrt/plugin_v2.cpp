#include "plugin_v2.h"

#include "bytes.h"
#include "call_builder.h"
#include "diagnostics.h"
#include "formats.h"
#include "output_shape.h"

#include <algorithm>
#include <cstring>

namespace attnexport {

using nvinfer1::DynamicPluginTensorDesc;
using nvinfer1::PluginTensorDesc;

PluginV2::PluginV2(NodePointer node, std::string plugin_namespace)
    : node_(std::move(node)),
      bytes_(write_bytes(node_->op, node_->attributes)),
      namespace_(std::move(plugin_namespace)) {}

void PluginV2::serialize(void *buffer) const noexcept { std::memcpy(buffer, bytes_.data(), bytes_.size()); }

void PluginV2::setPluginNamespace(const char *plugin_namespace) noexcept {
    guarded(node_->op.name, false, [&] { return (namespace_ = plugin_namespace), true; });
}

nvinfer1::DataType PluginV2::getOutputDataType(int32_t, const nvinfer1::DataType *inputs, int32_t) const noexcept {
    return inputs[0];
}

nvinfer1::IPluginV2DynamicExt *PluginV2::clone() const noexcept {
    return guarded(node_->op.name, static_cast<PluginV2 *>(nullptr), [&] { return new PluginV2(*this); });
}

nvinfer1::DimsExprs PluginV2::getOutputDimensions(int32_t, const nvinfer1::DimsExprs *inputs, int32_t num_inputs,
                                                  nvinfer1::IExprBuilder &) noexcept {
    // No dimensions at all is what TensorRT 8 takes for a failure.
    const nvinfer1::DimsExprs failure{-1, {}};
    return guarded(node_->op.name, failure, [&] { return output_shape(*node_, inputs, num_inputs); });
}

bool PluginV2::supportsFormatCombination(int32_t place, const PluginTensorDesc *tensors, int32_t num_inputs,
                                         int32_t) noexcept {
    return supports(*node_, place, num_inputs, tensors[place], tensors[0]);
}

// Called with bounds while an engine is built and with the shapes themselves before a run. It cannot refuse: the line
// on stderr comes from here, the error status from enqueue.
void PluginV2::configurePlugin(const DynamicPluginTensorDesc *inputs, int32_t num_inputs,
                               const DynamicPluginTensorDesc *, int32_t) noexcept {
    guarded(node_->op.name, false, [&] {
        num_inputs_ = num_inputs;
        configured_workspace_ = 0;
        for (const auto bound : {&DynamicPluginTensorDesc::min, &DynamicPluginTensorDesc::max})
            configured_workspace_ =
                std::max(configured_workspace_, call_at(*node_, inputs, num_inputs, bound).required_workspace());
        return true;
    });
}

size_t PluginV2::getWorkspaceSize(const PluginTensorDesc *inputs, int32_t num_inputs, const PluginTensorDesc *,
                                  int32_t) const noexcept {
    // It cannot refuse either: no device has this much, so that no engine is built.
    constexpr size_t kNever = size_t{1} << 50;
    return guarded(node_->op.name, kNever, [&] {
        return std::max(configured_workspace_, call_of(*node_, inputs, num_inputs).required_workspace());
    });
}

int32_t PluginV2::enqueue(const PluginTensorDesc *input_descriptions, const PluginTensorDesc *,
                          const void *const *inputs, void *const *outputs, void *workspace,
                          cudaStream_t stream) noexcept {
    return guarded(node_->op.name, int32_t{1}, [&] {
        launch(*node_, input_descriptions, num_inputs_, inputs, outputs[0], workspace, stream);
        return int32_t{0};
    });
}

}  // namespace attnexport
