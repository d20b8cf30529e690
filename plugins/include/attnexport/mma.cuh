// Warp-level matrix products m16n8k16 with float accumulators, and the shared-memory loads that feed them.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

namespace attnexport {

// Accumulators of one 16 x 8 tile. Thread `lane` holds row lane / 4 (first two) and lane / 4 + 8 (last two),
// columns 2 * (lane % 4) and the next.
struct Accumulator {
    float x[4];
};

// A 16 x 16 left operand.
struct FragmentA {
    uint32_t x[4];
};

// A 16 x 8 right operand.
struct FragmentB {
    uint32_t x[2];
};

__device__ __forceinline__ uint32_t shared_address(const void *pointer) {
    return static_cast<uint32_t>(__cvta_generic_to_shared(pointer));
}

__device__ __forceinline__ void load_matrix_x4(uint32_t (&x)[4], uint32_t address) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3])
                 : "r"(address));
}

__device__ __forceinline__ void load_matrix_x4_transposed(uint32_t (&x)[4], uint32_t address) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3])
                 : "r"(address));
}

template <class T>
struct Mma;

template <>
struct Mma<__half> {
    static __device__ __forceinline__ void multiply(Accumulator &c, const FragmentA &a, const FragmentB &b) {
        asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
            "{%0, %1, %2, %3};"
            : "+f"(c.x[0]), "+f"(c.x[1]), "+f"(c.x[2]), "+f"(c.x[3])
            : "r"(a.x[0]), "r"(a.x[1]), "r"(a.x[2]), "r"(a.x[3]), "r"(b.x[0]), "r"(b.x[1]));
    }

    static __device__ __forceinline__ uint32_t pack(float low, float high) {
        __half2 packed = __floats2half2_rn(low, high);
        return *reinterpret_cast<uint32_t *>(&packed);
    }

    static __device__ __forceinline__ float widen(__half value) { return __half2float(value); }
    static __device__ __forceinline__ __half narrow(float value) { return __float2half_rn(value); }
};

template <>
struct Mma<__nv_bfloat16> {
    static __device__ __forceinline__ void multiply(Accumulator &c, const FragmentA &a, const FragmentB &b) {
        asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
            "{%0, %1, %2, %3};"
            : "+f"(c.x[0]), "+f"(c.x[1]), "+f"(c.x[2]), "+f"(c.x[3])
            : "r"(a.x[0]), "r"(a.x[1]), "r"(a.x[2]), "r"(a.x[3]), "r"(b.x[0]), "r"(b.x[1]));
    }

    static __device__ __forceinline__ uint32_t pack(float low, float high) {
        __nv_bfloat162 packed = __floats2bfloat162_rn(low, high);
        return *reinterpret_cast<uint32_t *>(&packed);
    }

    static __device__ __forceinline__ float widen(__nv_bfloat16 value) { return __bfloat162float(value); }
    static __device__ __forceinline__ __nv_bfloat16 narrow(float value) { return __float2bfloat16_rn(value); }
};

}  // namespace attnexport
