// Launches and the functions of the CUDA runtime that launch code calls.
#include "block.h"
#include "memory.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <unordered_map>

namespace attnexport::cpu {

namespace {

constexpr int kSharedBytesUnasked = 48 << 10;  // a kernel may have more after cudaFuncSetAttribute

std::mutex mutex;
std::unordered_map<const void *, int> shared_limits;
cudaError_t last_error = cudaSuccess;

cudaError_t note(cudaError_t error) {
    if (error != cudaSuccess) last_error = error;
    return error;
}

uint64_t number_from_environment(const char *variable, uint64_t otherwise) {
    const char *text = std::getenv(variable);
    return text == nullptr || *text == '\0' ? otherwise : std::strtoull(text, nullptr, 0);
}

size_t shared_bytes_of_device() {
    return std::min<size_t>(number_from_environment("ATTNEXPORT_CPU_SHARED", kMostSharedBytes), kMostSharedBytes);
}

bool fits(const dim3 &grid, const dim3 &threads) {
    const uint64_t count = uint64_t{threads.x} * threads.y * threads.z;
    return grid.x > 0 && grid.y > 0 && grid.z > 0 && grid.x <= 0x7fffffffu && grid.y <= 65535 && grid.z <= 65535 &&
           threads.x <= 1024 && threads.y <= 1024 && threads.z <= 64 && count > 0 && count <= kMostThreads;
}

cudaError_t check(const Launch &launch) {
    if (!fits(launch.grid, launch.block) || launch.shared_bytes > shared_bytes_of_device())
        return cudaErrorInvalidConfiguration;
    const auto limit = shared_limits.find(launch.kernel);
    const int asked = limit == shared_limits.end() ? 0 : limit->second;
    return launch.shared_bytes > static_cast<size_t>(std::max(asked, kSharedBytesUnasked)) ? cudaErrorInvalidValue
                                                                                           : cudaSuccess;
}

}  // namespace

cudaError_t run(const Launch &launch) {
    const std::lock_guard<std::mutex> lock(mutex);
    ++block.launch_number;
    if (const cudaError_t error = check(launch); error != cudaSuccess) return note(error);
    block.launch = &launch;
    gridDim = launch.grid;
    blockDim = launch.block;
    seed_order(number_from_environment("ATTNEXPORT_CPU_SEED", 1));
    resize_shared_memory(launch.shared_bytes);
    const FaultReports reports;
    for (blockIdx.z = 0; blockIdx.z < gridDim.z; ++blockIdx.z)
        for (blockIdx.y = 0; blockIdx.y < gridDim.y; ++blockIdx.y)
            for (blockIdx.x = 0; blockIdx.x < gridDim.x; ++blockIdx.x) {
                poison_shared_memory();
                run_block();
            }
    return cudaSuccess;
}

}  // namespace attnexport::cpu

using namespace attnexport::cpu;

cudaError_t cudaGetDevice(int *device) {
    *device = 0;
    return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int *value, cudaDeviceAttr attribute, int) {
    switch (attribute) {
        case cudaDevAttrMultiProcessorCount: *value = 4; break;
        case cudaDevAttrMaxSharedMemoryPerBlock: *value = kSharedBytesUnasked; break;
        case cudaDevAttrMaxSharedMemoryPerBlockOptin: *value = static_cast<int>(shared_bytes_of_device()); break;
        case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
            *value = static_cast<int>(shared_bytes_of_device()) + 1024;
            break;
        case cudaDevAttrMaxThreadsPerBlock: *value = kMostThreads; break;
        case cudaDevAttrWarpSize: *value = kLanes; break;
        case cudaDevAttrComputeCapabilityMajor:
            *value = static_cast<int>(number_from_environment("ATTNEXPORT_CPU_MAJOR", 8));
            break;
        case cudaDevAttrComputeCapabilityMinor: *value = 0; break;
        default: return note(cudaErrorInvalidValue);
    }
    return cudaSuccess;
}

cudaError_t cudaFuncSetAttribute(const void *kernel, cudaFuncAttribute attribute, int value) {
    if (attribute == cudaFuncAttributePreferredSharedMemoryCarveout) return cudaSuccess;
    if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize || value < 0 ||
        static_cast<size_t>(value) > shared_bytes_of_device())
        return note(cudaErrorInvalidValue);
    const std::lock_guard<std::mutex> lock(attnexport::cpu::mutex);
    shared_limits[kernel] = value;
    return cudaSuccess;
}

cudaError_t cudaPeekAtLastError() { return last_error; }

cudaError_t cudaGetLastError() {
    const cudaError_t error = last_error;
    last_error = cudaSuccess;
    return error;
}

cudaError_t cudaMemsetAsync(void *at, int value, size_t bytes, cudaStream_t) {
    if (bytes > 0) std::memset(at, value, bytes);
    return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind, cudaStream_t) {
    if (bytes > 0) std::memcpy(to, from, bytes);
    return cudaSuccess;
}

const char *cudaGetErrorString(cudaError_t error) {
    switch (error) {
        case cudaSuccess: return "no error";
        case cudaErrorInvalidValue: return "invalid argument";
        case cudaErrorInvalidConfiguration: return "invalid configuration argument";
        default: return "unrecognized error code";
    }
}
