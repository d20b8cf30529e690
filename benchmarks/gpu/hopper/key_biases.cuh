// Minus half the squared norms of the keys, as the forward kernel of a configuration wants them.
#pragma once

#include "layout.cuh"

namespace attnexport::hopper {

constexpr int kBiasThreads = 256;

template <class C>
constexpr int kBiasKeys = kBiasThreads / (C::kWidth / 8);  // of a block

// biases (pairs, padded keys): floats, or three 16-bit pieces of each in tiles of kCols keys for a product of depth 16.
// Beyond the keys they are zero.
template <class T, class C>
__global__ void __launch_bounds__(kBiasThreads) write_biases(const T *keys, void *biases, int count, int padded) {
    constexpr int kLanes = C::kWidth / 8;
    let_next_begin();
    const int key = blockIdx.x * kBiasKeys<C> + threadIdx.x / kLanes, lane = threadIdx.x % kLanes;
    float sum = 0.f;
    if (key < count) {
        const int64_t row = static_cast<int64_t>(blockIdx.y) * count + key;
        const uint4 piece = *reinterpret_cast<const uint4 *>(keys + row * C::kWidth + lane * 8);
        const T *elements = reinterpret_cast<const T *>(&piece);
#pragma unroll
        for (int e = 0; e < 8; ++e) sum = fmaf(static_cast<float>(elements[e]), static_cast<float>(elements[e]), sum);
    }
#pragma unroll
    for (int step = 1; step < kLanes; step *= 2) sum += __shfl_xor_sync(0xffffffffu, sum, step);
    const float bias = -0.5f * sum;
    const int64_t at = static_cast<int64_t>(blockIdx.y) * padded + key;
    if (key >= padded) return;
    if (C::kBias == Bias::kAdded) {
        if (lane == 0) static_cast<float *>(biases)[at] = bias;
        return;
    }
    // The columns 0 to 7 of a tile's keys, then the columns 8 to 15.
    uint4 *rows = static_cast<uint4 *>(biases) + (at - key % C::kCols) * 2 + key % C::kCols;
    if (lane == 0) {
        const T high = static_cast<T>(bias), middle = static_cast<T>(bias - static_cast<float>(high));
        const T low = static_cast<T>(bias - static_cast<float>(high) - static_cast<float>(middle));
        *rows = make_uint4(Wgmma<T>::pack(high, middle), Wgmma<T>::pack(low, 0.f), 0, 0);
    } else if (lane == 1) {
        rows[C::kCols] = make_uint4(0, 0, 0, 0);
    }
}

}  // namespace attnexport::hopper
