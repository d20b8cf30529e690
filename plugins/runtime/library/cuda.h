// CUDA's objects, each destroyed with its owner.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <string>

namespace attnrt {

// Throws an Error with CUDA's own words.
void check(cudaError_t status, const char *what);

// Name and compute capability of the current device. Throws an Error where there is none.
std::string gpu_name();

size_t free_device_memory();

class Stream {
  public:
    Stream();
    ~Stream();
    Stream(const Stream &) = delete;
    Stream &operator=(const Stream &) = delete;
    cudaStream_t get() const { return stream_; }
    void wait() const;

  private:
    cudaStream_t stream_ = nullptr;
};

class Event {
  public:
    Event();
    ~Event();
    Event(const Event &) = delete;
    Event &operator=(const Event &) = delete;
    void record(cudaStream_t stream) const;
    float milliseconds_since(const Event &start) const;

  private:
    cudaEvent_t event_ = nullptr;
};

// Memory of the device that grows and never shrinks.
class DeviceBuffer {
  public:
    DeviceBuffer() = default;
    ~DeviceBuffer();
    DeviceBuffer(DeviceBuffer &&other) noexcept;
    DeviceBuffer &operator=(DeviceBuffer &&) = delete;
    void *at_least(size_t bytes);

  private:
    void *data_ = nullptr;
    size_t bytes_ = 0;
};

// What `enqueue` puts on a stream, captured once and launched as often as wanted.
class Graph {
  public:
    template <class Enqueue>
    Graph(cudaStream_t stream, Enqueue &&enqueue) {
        begin(stream);
        try {
            enqueue();
        } catch (...) {
            abandon(stream);
            throw;
        }
        end(stream);
    }
    ~Graph();
    Graph(const Graph &) = delete;
    Graph &operator=(const Graph &) = delete;
    void launch(cudaStream_t stream) const;

  private:
    static void begin(cudaStream_t stream);
    static void abandon(cudaStream_t stream);
    void end(cudaStream_t stream);

    cudaGraphExec_t graph_ = nullptr;
};

}  // namespace attnrt
