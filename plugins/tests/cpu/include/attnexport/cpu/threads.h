// Where a thread is in the grid, and the barriers.
#pragma once

#include <cuda_runtime.h>

#pragma GCC visibility push(hidden)

extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
constexpr int warpSize = 32;

void __syncthreads();
void __syncwarp(unsigned mask = 0xffffffffu);
[[noreturn]] void __trap();

inline void __threadfence() {}
inline void __threadfence_block() {}

namespace attnexport::cpu {

// Of the block that runs; fresh blocks find NaN there.
extern unsigned char *dynamic_shared_memory;

}  // namespace attnexport::cpu

#pragma GCC visibility pop
