// Runs of an engine.
#pragma once

#include "attnexport/attnrt.h"
#include "cuda.h"
#include "engine.h"
#include "shapes.h"

#include <memory>
#include <optional>
#include <vector>

namespace attnrt {

// Arrays of inputs or of outputs, in any order.
struct Arrays {
    const attnrt_array *data;
    int32_t count;
};

Arrays view(const std::vector<attnrt_array> &arrays);

size_t bytes_of(const attnrt_array &array);

class Execution {
  public:
    // Throws an Error if there is no memory for it.
    explicit Execution(const Engine &engine);

    // These throw an Error that names the tensor.

    // Arrays without data for the outputs, in the engine's order.
    std::vector<attnrt_array> infer_outputs(Arrays inputs);

    // Runs from arrays on the host to arrays on the host, and waits; the second by launching a graph captured for it.
    void run(Arrays inputs, Arrays outputs);
    void run_graph(Arrays inputs, Arrays outputs);

    // Enqueues a run on arrays of the device.
    void enqueue(Arrays inputs, Arrays outputs, cudaStream_t stream);

    // TensorRT's own enqueue, on what enqueue() bound last.
    void enqueue_bound(cudaStream_t stream);

    // Copies of the inputs in memory of the device, which belongs to this object and is used again by run().
    std::vector<attnrt_array> upload(Arrays inputs);

    // Arrays for the outputs of these inputs, in memory of the device, which belongs to this object as well.
    std::vector<attnrt_array> allocate(Arrays inputs);

    const Stream &stream() const { return stream_; }

  private:
    // What the context knows of an input or output, and memory for it.
    struct Binding {
        std::optional<Shape> shape;
        void *address = nullptr;
        DeviceBuffer buffer;
    };

    void set_shapes(Arrays inputs);
    void download(const std::vector<attnrt_array> &results, Arrays outputs);
    void bind(size_t index, const attnrt_array &array);
    const attnrt_array &find(Arrays arrays, size_t index) const;
    void check_names(Arrays arrays, size_t first, size_t last) const;
    void check_output(size_t index, const attnrt_array &array) const;

    const Engine &engine_;
    Stream stream_;
    std::unique_ptr<nvinfer1::IExecutionContext> context_;
    std::vector<Binding> bindings_;  // as engine_.tensors()
};

}  // namespace attnrt
