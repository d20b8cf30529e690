// A loaded engine and its inputs and outputs.
#pragma once

#include "attnexport/attnrt.h"
#include "tensorrt_library.h"

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

namespace attnrt {

class Engine {
  public:
    // Loads a serialised engine. With `allow_host_code` libraries inside it are run. Throws an Error.
    Engine(std::shared_ptr<const TensorRt> tensorrt, const void *bytes, size_t size, bool allow_host_code);

    // Inputs, then outputs, each in the engine's order.
    const std::vector<attnrt_tensor> &tensors() const { return tensors_; }
    size_t num_inputs() const { return num_inputs_; }

    // TensorRT's JSON about the layers.
    std::string layers() const;

    // Bytes for activations.
    uint64_t scratch_bytes() const;

    std::unique_ptr<nvinfer1::IExecutionContext> create_context() const;

  private:
    attnrt_tensor read_tensor(const char *name, bool is_input) const;

    std::shared_ptr<const TensorRt> tensorrt_;
    std::unique_ptr<nvinfer1::IRuntime> runtime_;
    std::unique_ptr<nvinfer1::ICudaEngine> engine_;
    std::vector<attnrt_tensor> tensors_;  // their names belong to engine_
    size_t num_inputs_ = 0;
};

}  // namespace attnrt
