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

    // Asks the current device; false where it cannot be asked.
    static bool current(Device *device) {
        int id = 0;
        const auto ask = [&](int *value, cudaDeviceAttr attribute) {
            return cudaDeviceGetAttribute(value, attribute, id) == cudaSuccess;
        };
        return cudaGetDevice(&id) == cudaSuccess && ask(&device->multiprocessors, cudaDevAttrMultiProcessorCount) &&
               ask(&device->shared_bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin) &&
               ask(&device->major, cudaDevAttrComputeCapabilityMajor) &&
               ask(&device->shared_bytes_of_multiprocessor, cudaDevAttrMaxSharedMemoryPerMultiprocessor);
    }
};

}  // namespace attnexport
