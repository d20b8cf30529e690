// Which combinations of types and formats a node takes.
#pragma once

#include "node.h"
#include "types.h"

namespace attnexport {

// Whether the tensor at `place`, the output coming after the inputs, may have this description. Floating tensors
// follow the first input; lengths are int32.
inline bool supports(const Node &node, int place, int num_inputs, const nvinfer1::PluginTensorDesc &given,
                     const nvinfer1::PluginTensorDesc &first) {
    if (given.format != nvinfer1::TensorFormat::kLINEAR) return false;
    if (num_inputs < node.inputs.required() || num_inputs > node.inputs.most() || place > num_inputs) return false;
    const int dtype = dtype_of(given.type);
    if (place < num_inputs && node.inputs.is_length(place)) return dtype == ATTNEXPORT_INT32;
    return is_floating(node.op, dtype) && given.type == first.type;
}

}  // namespace attnexport
