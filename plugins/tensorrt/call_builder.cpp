#include "call_builder.h"

#include "diagnostics.h"
#include "types.h"

namespace attnexport {
namespace {

constexpr int kMaxRank = 4;

std::string describe(const attnexport_tensor &tensor) {
    std::string text = std::string(dtype_name(tensor.dtype)) + " (";
    for (int axis = 0; axis < tensor.rank; ++axis) text += (axis == 0 ? "" : ", ") + std::to_string(tensor.dims[axis]);
    return text + ")";
}

}  // namespace

CallBuilder::CallBuilder(const Node &node, int num_inputs) : node_(node) {
    node.inputs.check_count(num_inputs);
    tensors_.reserve(num_inputs);
}

void CallBuilder::add(const nvinfer1::Dims &dims, nvinfer1::DataType type, const void *data) {
    const std::string &name = node_.inputs.name(static_cast<int>(tensors_.size()));
    if (dims.nbDims < 0 || dims.nbDims > kMaxRank)
        throw Error(name + ": expected at most 4 dimensions, given " + std::to_string(dims.nbDims));
    attnexport_tensor tensor{data, dtype_of(type), dims.nbDims, {}};
    for (int axis = 0; axis < dims.nbDims; ++axis) tensor.dims[axis] = dims.d[axis];
    tensors_.push_back(tensor);
}

attnexport_call CallBuilder::call(void *output) const {
    return {tensors_.data(), static_cast<int32_t>(tensors_.size()), node_.attributes.values(), output};
}

size_t CallBuilder::required_workspace() const {
    size_t bytes = 0;
    const attnexport_call asked = call();
    const int status = node_.op.workspace(&asked, &bytes);
    if (status != ATTNEXPORT_OK) fail("shapes", status);
    return bytes;
}

void CallBuilder::fail(const char *what, int status) const {
    std::string line = std::string(what) + ": " + status_name(status) + ":";
    for (size_t place = 0; place < tensors_.size(); ++place)
        line +=
            (place == 0 ? " " : ", ") + node_.inputs.name(static_cast<int>(place)) + " " + describe(tensors_[place]);
    throw Error(line + "; " + node_.description);
}

CallBuilder call_of(const Node &node, const nvinfer1::PluginTensorDesc *descriptions, int num_inputs,
                    const void *const *inputs) {
    CallBuilder builder(node, num_inputs);
    for (int place = 0; place < num_inputs; ++place)
        builder.add(descriptions[place].dims, descriptions[place].type, inputs ? inputs[place] : nullptr);
    return builder;
}

CallBuilder call_at(const Node &node, const nvinfer1::DynamicPluginTensorDesc *descriptions, int num_inputs,
                    nvinfer1::Dims nvinfer1::DynamicPluginTensorDesc::*bound) {
    CallBuilder builder(node, num_inputs);
    for (int place = 0; place < num_inputs; ++place)
        builder.add(descriptions[place].*bound, descriptions[place].desc.type);
    return builder;
}

void launch(const Node &node, const nvinfer1::PluginTensorDesc *descriptions, int num_inputs, const void *const *inputs,
            void *output, void *workspace, void *stream) {
    const CallBuilder builder = call_of(node, descriptions, num_inputs, inputs);
    const size_t bytes = builder.required_workspace();
    const attnexport_call call = builder.call(output);
    const int status = node.op.launch(&call, workspace, bytes, stream);
    if (status != ATTNEXPORT_OK) builder.fail("launch", status);
}

}  // namespace attnexport
