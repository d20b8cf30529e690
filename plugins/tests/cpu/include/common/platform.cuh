// The counterpart of the kernels' platform header for plain C++: the same functions with the same meaning, carried out
// by the emulator of plugins/tests/cpu.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <attnexport/cpu/arithmetic.h>
#include <attnexport/cpu/atomics.h>
#include <attnexport/cpu/collectives.h>
#include <attnexport/cpu/copies.h>
#include <attnexport/cpu/launch.h>
#include <attnexport/cpu/threads.h>

#include <cfloat>
#include <cmath>
#include <cstdint>

// Blocks run one after the other, so that a static variable is the shared memory of the block that runs.
#undef __shared__
#define __shared__ static
#undef __grid_constant__
#define __grid_constant__
#undef __launch_bounds__
#define __launch_bounds__(...)

namespace attnexport {

inline unsigned char *dynamic_shared() { return cpu::dynamic_shared_memory; }

// The shared window begins with the dynamic shared memory.
inline uint32_t shared_address(const void *pointer) {
    return static_cast<uint32_t>(reinterpret_cast<uintptr_t>(pointer) -
                                 reinterpret_cast<uintptr_t>(cpu::dynamic_shared_memory));
}

inline void load_matrix_x4(uint32_t (&x)[4], uint32_t address) {
    cpu::load_matrix(cpu::Collective::kLoadMatrix, x, address);
}

inline void load_matrix_x4_transposed(uint32_t (&x)[4], uint32_t address) {
    cpu::load_matrix(cpu::Collective::kLoadMatrixTransposed, x, address);
}

inline void mma_half(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    cpu::multiply(cpu::Collective::kMmaHalf, c, a, b);
}

inline void mma_bfloat16(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    cpu::multiply(cpu::Collective::kMmaBfloat16, c, a, b);
}

template <int kStep>
void append_from(float limit, float x, int tag, float2 *&to) {
    if (!(x >= limit)) return;
    *to = make_float2(x, __int_as_float(tag));
    to += kStep;
}

inline void copy_async_16(uint32_t to, const void *from, int bytes) { cpu::queue_copy(to, from, bytes, 16); }

inline void copy_async_4(uint32_t to, const void *from, int bytes) { cpu::queue_copy(to, from, bytes, 4); }

inline void commit_copies() { cpu::commit_copies(); }

template <int kPending>
void wait_for_copies() {
    cpu::wait_for_copies(kPending);
}

// Kernels run one after the other.
inline void let_next_begin() {}
inline void wait_for_previous() {}

// Subnormal results are flushed as the instruction does.
inline float exp2_fast(float x) {
    const float y = exp2f(x);
    return y < FLT_MIN ? 0.f : y;
}

inline float min_or_nan(float x, float y) { return x != x || y != y ? NAN : fminf(x, y); }
inline float max_or_nan(float x, float y) { return x != x || y != y ? NAN : fmaxf(x, y); }

inline float square_root_fast(float x) { return fabsf(x) < FLT_MIN ? copysignf(0.f, x) : sqrtf(x); }

}  // namespace attnexport
