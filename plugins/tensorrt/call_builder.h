// Builds an attnexport_call out of TensorRT's descriptions of tensors.
#pragma once

#include "node.h"

#include <NvInfer.h>

#include <cstddef>
#include <string>
#include <vector>

namespace attnexport {

class CallBuilder {
  public:
    CallBuilder(const Node &node, int num_inputs);

    void add(const nvinfer1::Dims &dims, nvinfer1::DataType type, const void *data = nullptr);

    // The call, which points into this builder.
    attnexport_call call(void *output = nullptr) const;

    // Workspace of the call; throws an Error for any other status than ATTNEXPORT_OK.
    size_t required_workspace() const;

    // Throws the Error of a status: its name and the tensors of the call.
    [[noreturn]] void fail(const char *what, int status) const;

  private:
    const Node &node_;
    std::vector<attnexport_tensor> tensors_;
};

// The call of these inputs, with their data when `inputs` is given.
CallBuilder call_of(const Node &node, const nvinfer1::PluginTensorDesc *descriptions, int num_inputs,
                    const void *const *inputs = nullptr);

// The call at one of the bounds (min, opt, max) of inputs with dynamic shapes.
CallBuilder call_at(const Node &node, const nvinfer1::DynamicPluginTensorDesc *descriptions, int num_inputs,
                    nvinfer1::Dims nvinfer1::DynamicPluginTensorDesc::*bound);

// Launches the call; throws an Error if that fails.
void launch(const Node &node, const nvinfer1::PluginTensorDesc *descriptions, int num_inputs, const void *const *inputs,
            void *output, void *workspace, void *stream);

}  // namespace attnexport
