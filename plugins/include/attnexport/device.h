// What the launch code asks of the current device.
#pragma once

#include <cuda_runtime.h>

namespace attnexport {

struct Device {
    int multiprocessors;
    int shared_bytes;   // largest dynamic shared memory of a block
    bool tensor_cores;  // mma.sync m16n8k16 for half and bfloat16: SM 80 and newer

    static Device current() {
        Device device{1, 48 * 1024, false};
        int id = 0, major = 0;
        if (cudaGetDevice(&id) != cudaSuccess) return device;
        cudaDeviceGetAttribute(&device.multiprocessors, cudaDevAttrMultiProcessorCount, id);
        cudaDeviceGetAttribute(&device.shared_bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, id);
        cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, id);
        device.tensor_cores = major >= 8;
        return device;
    }
};

}  // namespace attnexport
