#pragma once

#include <cuda_runtime_api.h>

#include <stdexcept>

namespace harness {

inline void cuda_check(cudaError_t error) {
    if (error != cudaSuccess) throw std::runtime_error(cudaGetErrorString(error));
}

}  // namespace harness
