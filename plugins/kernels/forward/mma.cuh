// Warp-level matrix products m16n8k16 with float accumulators: fragments and the two 16-bit types.
#pragma once

#include <common/platform.cuh>

#include <cuda_bf16.h>
#include <cuda_fp16.h>

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

__device__ __forceinline__ float widen(float value) { return value; }
__device__ __forceinline__ float widen(__half value) { return __half2float(value); }
__device__ __forceinline__ float widen(__nv_bfloat16 value) { return __bfloat162float(value); }

template <class T>
__device__ __forceinline__ T narrow(float value);
template <>
__device__ __forceinline__ float narrow<float>(float value) {
    return value;
}
template <>
__device__ __forceinline__ __half narrow<__half>(float value) {
    return __float2half_rn(value);
}
template <>
__device__ __forceinline__ __nv_bfloat16 narrow<__nv_bfloat16>(float value) {
    return __float2bfloat16_rn(value);
}

template <class T>
struct Mma;

template <>
struct Mma<__half> {
    static __device__ __forceinline__ void multiply(Accumulator &c, const FragmentA &a, const FragmentB &b) {
        mma_half(c.x, a.x, b.x);
    }

    static __device__ __forceinline__ uint32_t pack(float low, float high) {
        __half2 packed = __floats2half2_rn(low, high);
        return *reinterpret_cast<uint32_t *>(&packed);
    }

    // Products of the two elements in each register.
    static __device__ __forceinline__ uint32_t scale(uint32_t x, uint32_t y) {
        __half2 product = __hmul2(*reinterpret_cast<__half2 *>(&x), *reinterpret_cast<__half2 *>(&y));
        return *reinterpret_cast<uint32_t *>(&product);
    }
};

template <>
struct Mma<__nv_bfloat16> {
    static __device__ __forceinline__ void multiply(Accumulator &c, const FragmentA &a, const FragmentB &b) {
        mma_bfloat16(c.x, a.x, b.x);
    }

    static __device__ __forceinline__ uint32_t pack(float low, float high) {
        __nv_bfloat162 packed = __floats2bfloat162_rn(low, high);
        return *reinterpret_cast<uint32_t *>(&packed);
    }

    static __device__ __forceinline__ uint32_t scale(uint32_t x, uint32_t y) {
        __nv_bfloat162 product =
            __hmul2(*reinterpret_cast<__nv_bfloat162 *>(&x), *reinterpret_cast<__nv_bfloat162 *>(&y));
        return *reinterpret_cast<uint32_t *>(&product);
    }
};

}  // namespace attnexport
