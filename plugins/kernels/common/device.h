// What the launch code asks of the current device.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <initializer_list>

namespace attnexport {

// Shared memory of a multiprocessor that every block takes beside its own.
constexpr int kReservedShared = 1024;

// Whether this file is compiled for a compute capability, as 900.
constexpr bool compiled_for([[maybe_unused]] int capability) {
#ifdef __CUDA_ARCH_LIST__
    for (const int compiled : {__CUDA_ARCH_LIST__})
        if (compiled == capability) return true;
#endif
    return false;
}

struct Device {
    int multiprocessors;
    int shared_bytes;                    // largest dynamic shared memory of a block
    int shared_bytes_of_multiprocessor;  // of all blocks that share one
    int major = 0;                       // compute capability

    // How many blocks of this much shared memory a multiprocessor holds; 0: a block is not allowed that much.
    constexpr int resident_blocks(size_t bytes) const {
        if (bytes > static_cast<size_t>(shared_bytes)) return 0;
        return static_cast<int>(shared_bytes_of_multiprocessor / (bytes + kReservedShared));
    }

    // Whether a kernel may begin before the one launched before it has ended: only code for SM 90 waits where it must.
    bool overlaps_launches() const { return major == 9 && compiled_for(900); }

    static Device current() {
        Device device{1, 48 * 1024, 49 * 1024};
        int id = 0;
        if (cudaGetDevice(&id) != cudaSuccess) return device;
        cudaDeviceGetAttribute(&device.multiprocessors, cudaDevAttrMultiProcessorCount, id);
        cudaDeviceGetAttribute(&device.shared_bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, id);
        cudaDeviceGetAttribute(&device.major, cudaDevAttrComputeCapabilityMajor, id);
        cudaDeviceGetAttribute(&device.shared_bytes_of_multiprocessor, cudaDevAttrMaxSharedMemoryPerMultiprocessor, id);
        return device;
    }
};

}  // namespace attnexport
