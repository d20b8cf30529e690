#include "plugin_v3.h"

#include "call_builder.h"
#include "diagnostics.h"
#include "formats.h"
#include "output_shape.h"

#include <algorithm>

namespace attnexport {
namespace {

using nvinfer1::DynamicPluginTensorDesc;
using nvinfer1::PluginTensorDesc;

constexpr int32_t kSuccess = 0, kFailure = 1;

// Zero is TensorRT's default tactic, which is timed for every format.
constexpr int32_t kTactic = 1;

}  // namespace

PluginV3::PluginV3(NodePointer node) : node_(std::move(node)), written_(node_->op, node_->attributes) {}

nvinfer1::IPluginCapability *PluginV3::getCapabilityInterface(nvinfer1::PluginCapabilityType type) noexcept {
    switch (type) {
        case nvinfer1::PluginCapabilityType::kCORE: return static_cast<nvinfer1::IPluginV3OneCore *>(this);
        case nvinfer1::PluginCapabilityType::kBUILD: return static_cast<nvinfer1::IPluginV3OneBuild *>(this);
        case nvinfer1::PluginCapabilityType::kRUNTIME: return static_cast<nvinfer1::IPluginV3OneRuntime *>(this);
    }
    return nullptr;
}

nvinfer1::IPluginV3 *PluginV3::clone() noexcept {
    return guarded(node_->op.name, static_cast<nvinfer1::IPluginV3 *>(nullptr), [&]() -> nvinfer1::IPluginV3 * {
        auto copy = std::make_unique<PluginV3>(node_);
        copy->num_inputs_ = num_inputs_;
        return copy.release();
    });
}

int32_t PluginV3::getOutputDataTypes(nvinfer1::DataType *outputs, int32_t, const nvinfer1::DataType *inputs,
                                     int32_t num_inputs) const noexcept {
    return guarded(node_->op.name, kFailure, [&] {
        node_->inputs.check_count(num_inputs);
        outputs[0] = inputs[0];
        return kSuccess;
    });
}

int32_t PluginV3::getOutputShapes(const nvinfer1::DimsExprs *inputs, int32_t num_inputs, const nvinfer1::DimsExprs *,
                                  int32_t, nvinfer1::DimsExprs *outputs, int32_t, nvinfer1::IExprBuilder &) noexcept {
    return guarded(node_->op.name, kFailure, [&] {
        outputs[0] = output_shape(*node_, inputs, num_inputs);
        return kSuccess;
    });
}

bool PluginV3::supportsFormatCombination(int32_t place, const DynamicPluginTensorDesc *tensors, int32_t num_inputs,
                                         int32_t) noexcept {
    return supports(*node_, place, num_inputs, tensors[place].desc, tensors[0].desc);
}

int32_t PluginV3::configurePlugin(const DynamicPluginTensorDesc *inputs, int32_t num_inputs,
                                  const DynamicPluginTensorDesc *, int32_t) noexcept {
    return guarded(node_->op.name, kFailure, [&] {
        largest_workspace(inputs, num_inputs);
        num_inputs_ = num_inputs;
        return kSuccess;
    });
}

size_t PluginV3::getWorkspaceSize(const DynamicPluginTensorDesc *inputs, int32_t num_inputs,
                                  const DynamicPluginTensorDesc *, int32_t) const noexcept {
    return guarded(node_->op.name, size_t{0}, [&] { return largest_workspace(inputs, num_inputs); });
}

size_t PluginV3::largest_workspace(const DynamicPluginTensorDesc *inputs, int32_t num_inputs) const {
    size_t largest = 0;
    for (const auto bound :
         {&DynamicPluginTensorDesc::min, &DynamicPluginTensorDesc::opt, &DynamicPluginTensorDesc::max})
        largest = std::max(largest, call_at(*node_, inputs, num_inputs, bound).required_workspace());
    return largest;
}

int32_t PluginV3::getValidTactics(int32_t *tactics, int32_t num_tactics) noexcept {
    if (num_tactics != 1) return kFailure;
    tactics[0] = kTactic;
    return kSuccess;
}

int32_t PluginV3::setTactic(int32_t tactic) noexcept { return tactic == kTactic ? kSuccess : kFailure; }

int32_t PluginV3::onShapeChange(const PluginTensorDesc *inputs, int32_t num_inputs, const PluginTensorDesc *,
                                int32_t) noexcept {
    return guarded(node_->op.name, kFailure, [&] {
        call_of(*node_, inputs, num_inputs).required_workspace();
        num_inputs_ = num_inputs;
        return kSuccess;
    });
}

int32_t PluginV3::enqueue(const PluginTensorDesc *input_descriptions, const PluginTensorDesc *,
                          const void *const *inputs, void *const *outputs, void *workspace,
                          cudaStream_t stream) noexcept {
    return guarded(node_->op.name, kFailure, [&] {
        launch(*node_, input_descriptions, num_inputs_, inputs, outputs[0], workspace, stream);
        return kSuccess;
    });
}

nvinfer1::IPluginV3 *PluginV3::attachToContext(nvinfer1::IPluginResourceContext *) noexcept { return clone(); }

}  // namespace attnexport
