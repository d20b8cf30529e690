#include "execution.h"

#include "dtypes.h"
#include "errors.h"
#include "logger.h"

#include <algorithm>
#include <cstring>
#include <string>

namespace attnrt {
namespace {

Shape shape_of(const attnrt_array &array) {
    if (array.rank < 0 || array.rank > ATTNRT_MAX_RANK)
        throw Error(std::string(array.name) + ": expected at most 8 dims, given " + std::to_string(array.rank));
    return Shape(array.dims, array.dims + array.rank);
}

bool has_shape(const attnrt_array &array, const std::optional<Shape> &shape) {
    return shape && static_cast<size_t>(array.rank) == shape->size() &&
           std::equal(shape->begin(), shape->end(), array.dims);
}

std::string range_of(const attnrt_tensor &input) {
    const std::string least = text_of(Shape(input.minimum, input.minimum + input.rank));
    const std::string most = text_of(Shape(input.maximum, input.maximum + input.rank));
    return least == most ? least : least + " to " + most;
}

void check_dtype(const attnrt_tensor &tensor, const attnrt_array &array) {
    if (array.dtype != tensor.dtype)
        throw Error(std::string(tensor.name) + ": expected " + name_of(tensor.dtype) + ", given " +
                    name_of(array.dtype));
}

void check_input(const attnrt_tensor &input, const attnrt_array &array) {
    bool fits = array.rank == input.rank;
    for (int32_t index = 0; fits && index < input.rank; ++index)
        fits = input.minimum[index] <= array.dims[index] && array.dims[index] <= input.maximum[index];
    if (!fits)
        throw Error(std::string(input.name) + ": expected a shape of " + range_of(input) + ", given " +
                    text_of(shape_of(array)));
}

}  // namespace

size_t bytes_of(const attnrt_array &array) {
    return static_cast<size_t>(volume(shape_of(array))) * bytes_of(array.dtype);
}

Arrays view(const std::vector<attnrt_array> &arrays) { return {arrays.data(), static_cast<int32_t>(arrays.size())}; }

Execution::Execution(const Engine &engine)
    : engine_(engine), context_(engine.create_context()), bindings_(engine.tensors().size()) {}

std::vector<attnrt_array> Execution::infer_outputs(Arrays inputs) {
    set_shapes(inputs);
    std::vector<attnrt_array> outputs;
    for (size_t index = engine_.num_inputs(); index < bindings_.size(); ++index) {
        const attnrt_tensor &tensor = engine_.tensors()[index];
        const Shape &shape = *bindings_[index].shape;
        attnrt_array output{tensor.name, nullptr, tensor.dtype, static_cast<int32_t>(shape.size()), {}};
        std::copy(shape.begin(), shape.end(), output.dims);
        outputs.push_back(output);
    }
    return outputs;
}

void Execution::run(Arrays inputs, Arrays outputs) {
    const std::vector<attnrt_array> uploaded = upload(inputs), results = allocate(inputs);
    enqueue(view(uploaded), view(results), stream_.get());
    download(results, outputs);
}

void Execution::run_graph(Arrays inputs, Arrays outputs) {
    const std::vector<attnrt_array> uploaded = upload(inputs), results = allocate(inputs);
    // TensorRT may allocate in the first run at these shapes.
    enqueue(view(uploaded), view(results), stream_.get());
    stream_.wait();
    const Graph graph(stream_.get(), [&] { enqueue_bound(stream_.get()); });
    // Whatever the graph does not write is seen.
    constexpr int kNotANumber = 0xFF;
    for (const attnrt_array &result : results)
        check(cudaMemsetAsync(result.data, kNotANumber, bytes_of(result), stream_.get()), "cannot clear an output");
    graph.launch(stream_.get());
    download(results, outputs);
}

void Execution::enqueue(Arrays inputs, Arrays outputs, cudaStream_t stream) {
    set_shapes(inputs);
    check_names(outputs, engine_.num_inputs(), bindings_.size());
    for (size_t index = 0; index < bindings_.size(); ++index) {
        const bool is_input = index < engine_.num_inputs();
        const attnrt_array &array = find(is_input ? inputs : outputs, index);
        if (!is_input) check_output(index, array);
        bind(index, array);
    }
    enqueue_bound(stream);
}

void Execution::enqueue_bound(cudaStream_t stream) {
    logger().clear();
    if (!context_->enqueueV3(stream)) throw Error("TensorRT cannot run the engine" + logger().reason());
}

std::vector<attnrt_array> Execution::upload(Arrays inputs) {
    set_shapes(inputs);
    std::vector<attnrt_array> uploaded;
    for (size_t index = 0; index < engine_.num_inputs(); ++index) {
        attnrt_array array = find(inputs, index);
        const size_t bytes = bytes_of(array);
        void *device = bindings_[index].buffer.at_least(bytes);
        check(cudaMemcpyAsync(device, array.data, bytes, cudaMemcpyHostToDevice, stream_.get()),
              "cannot copy an input");
        array.data = device;
        uploaded.push_back(array);
    }
    return uploaded;
}

std::vector<attnrt_array> Execution::allocate(Arrays inputs) {
    std::vector<attnrt_array> outputs = infer_outputs(inputs);
    for (size_t index = 0; index < outputs.size(); ++index)
        outputs[index].data = bindings_[engine_.num_inputs() + index].buffer.at_least(bytes_of(outputs[index]));
    return outputs;
}

void Execution::download(const std::vector<attnrt_array> &results, Arrays outputs) {
    check_names(outputs, engine_.num_inputs(), bindings_.size());
    for (size_t index = 0; index < results.size(); ++index) {
        const attnrt_array &output = find(outputs, engine_.num_inputs() + index);
        check_output(engine_.num_inputs() + index, output);
        check(
            cudaMemcpyAsync(output.data, results[index].data, bytes_of(output), cudaMemcpyDeviceToHost, stream_.get()),
            "cannot copy an output");
    }
    stream_.wait();
}

void Execution::set_shapes(Arrays inputs) {
    check_names(inputs, 0, engine_.num_inputs());
    bool changed = false;
    for (size_t index = 0; index < engine_.num_inputs(); ++index) {
        const attnrt_tensor &input = engine_.tensors()[index];
        const attnrt_array &array = find(inputs, index);
        check_dtype(input, array);
        if (has_shape(array, bindings_[index].shape)) continue;
        check_input(input, array);
        logger().clear();
        // Unknown until everything went well.
        for (Binding &binding : bindings_) binding.shape.reset();
        if (!context_->setInputShape(input.name, dims_of(shape_of(array))))
            throw Error(std::string(input.name) + ": TensorRT refuses the shape" + logger().reason());
        changed = true;
    }
    if (!changed && bindings_.back().shape) return;
    for (size_t index = 0; index < bindings_.size(); ++index) {
        const attnrt_tensor &tensor = engine_.tensors()[index];
        const Shape shape = attnrt::shape_of(context_->getTensorShape(tensor.name));
        if (is_dynamic(shape))
            throw Error(std::string(tensor.name) +
                        ": has a shape that depends on the values, which attnrt does not run");
        bindings_[index].shape = shape;
    }
}

void Execution::bind(size_t index, const attnrt_array &array) {
    Binding &binding = bindings_[index];
    if (array.data == nullptr) throw Error(std::string(array.name) + ": expected data, given none");
    if (binding.address == array.data) return;
    logger().clear();
    if (!context_->setTensorAddress(engine_.tensors()[index].name, array.data))
        throw Error(std::string(array.name) + ": TensorRT refuses its address" + logger().reason());
    binding.address = array.data;
}

const attnrt_array &Execution::find(Arrays arrays, size_t index) const {
    const char *name = engine_.tensors()[index].name;
    for (int32_t position = 0; position < arrays.count; ++position)
        if (std::strcmp(arrays.data[position].name, name) == 0) return arrays.data[position];
    const bool is_input = index < engine_.num_inputs();
    throw Error(std::string(name) + ": expected an array for this " + (is_input ? "input" : "output") + ", given none");
}

void Execution::check_names(Arrays arrays, size_t first, size_t last) const {
    for (int32_t position = 0; position < arrays.count; ++position) {
        const char *name = arrays.data[position].name;
        const auto &tensors = engine_.tensors();
        bool found = false;
        for (size_t index = first; index < last; ++index) found = found || std::strcmp(tensors[index].name, name) == 0;
        if (!found)
            throw Error(std::string(name) + ": the engine has no " + (first == 0 ? "input" : "output") +
                        " of this name");
    }
}

void Execution::check_output(size_t index, const attnrt_array &array) const {
    check_dtype(engine_.tensors()[index], array);
    if (!has_shape(array, bindings_[index].shape))
        throw Error(std::string(array.name) + ": expected the shape " + text_of(*bindings_[index].shape) + ", given " +
                    text_of(shape_of(array)));
}

}  // namespace attnrt
