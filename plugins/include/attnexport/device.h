// What the launch code asks of the current device.
#pragma once

#include <cuda_runtime.h>

namespace attnexport {

struct Device {
    int multiprocessors;
    int shared_bytes;  // largest dynamic shared memory of a block

    static Device current() {
        Device device{1, 48 * 1024};
        int id = 0;
        if (cudaGetDevice(&id) != cudaSuccess) return device;
        cudaDeviceGetAttribute(&device.multiprocessors, cudaDevAttrMultiProcessorCount, id);
        cudaDeviceGetAttribute(&device.shared_bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, id);
        return device;
    }
};

}  // namespace attnexport
