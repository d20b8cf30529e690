#include "cuda.h"

#include "errors.h"

#include <utility>

namespace attnrt {

void check(cudaError_t status, const char *what) {
    if (status != cudaSuccess) throw Error(std::string("CUDA: ") + what + ": " + cudaGetErrorString(status));
}

std::string gpu_name() {
    int device = 0;
    cudaDeviceProp properties{};
    check(cudaGetDevice(&device), "the GPU cannot be used");
    check(cudaGetDeviceProperties(&properties, device), "the GPU cannot be used");
    return std::string(properties.name) + ", SM " + std::to_string(properties.major) + std::to_string(properties.minor);
}

size_t free_device_memory() {
    size_t free = 0, total = 0;
    check(cudaMemGetInfo(&free, &total), "the GPU cannot be used");
    return free;
}

Stream::Stream() { check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cannot create a stream"); }

Stream::~Stream() { cudaStreamDestroy(stream_); }

void Stream::wait() const { check(cudaStreamSynchronize(stream_), "the run failed"); }

Event::Event() { check(cudaEventCreate(&event_), "cannot create an event"); }

Event::~Event() { cudaEventDestroy(event_); }

void Event::record(cudaStream_t stream) const { check(cudaEventRecord(event_, stream), "cannot record an event"); }

float Event::milliseconds_since(const Event &start) const {
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, start.event_, event_), "cannot read an event");
    return milliseconds;
}

DeviceBuffer::~DeviceBuffer() { cudaFree(data_); }

DeviceBuffer::DeviceBuffer(DeviceBuffer &&other) noexcept
    : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}

void *DeviceBuffer::at_least(size_t bytes) {
    // TensorRT wants an address for empty tensors too.
    if (bytes_ >= bytes && data_ != nullptr) return data_;
    check(cudaFree(std::exchange(data_, nullptr)), "cannot free memory");
    bytes_ = 0;
    const size_t wanted = bytes == 0 ? 1 : bytes;
    check(cudaMalloc(&data_, wanted), ("cannot allocate " + std::to_string(wanted) + " bytes").c_str());
    bytes_ = wanted;
    return data_;
}

void Graph::begin(cudaStream_t stream) {
    check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "cannot capture a graph");
}

void Graph::abandon(cudaStream_t stream) {
    cudaGraph_t captured = nullptr;
    cudaStreamEndCapture(stream, &captured);
    if (captured != nullptr) cudaGraphDestroy(captured);
}

void Graph::end(cudaStream_t stream) {
    cudaGraph_t captured = nullptr;
    check(cudaStreamEndCapture(stream, &captured), "cannot capture a graph");
    const cudaError_t status = cudaGraphInstantiateWithFlags(&graph_, captured, 0);
    cudaGraphDestroy(captured);
    check(status, "cannot instantiate a graph");
}

Graph::~Graph() { cudaGraphExecDestroy(graph_); }

void Graph::launch(cudaStream_t stream) const { check(cudaGraphLaunch(graph_, stream), "cannot launch a graph"); }

}  // namespace attnrt
