// The output is (B, H, N, Dv): B, H and N of the first input, Dv of the input named "v".
#pragma once

#include "diagnostics.h"
#include "node.h"

#include <NvInfer.h>

namespace attnexport {

inline nvinfer1::DimsExprs output_shape(const Node &node, const nvinfer1::DimsExprs *inputs, int num_inputs) {
    node.inputs.check_count(num_inputs);
    for (const int place : {0, node.inputs.value()})
        if (inputs[place].nbDims != 4)
            throw Error(node.inputs.name(place) + ": expected 4 dimensions, given " +
                        std::to_string(inputs[place].nbDims));
    nvinfer1::DimsExprs output = inputs[0];
    output.d[3] = inputs[node.inputs.value()].d[3];
    return output;
}

}  // namespace attnexport
