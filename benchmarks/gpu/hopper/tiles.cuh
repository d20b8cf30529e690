// What a warpgroup does with one tile: products, and weights of scores.
#pragma once

#include "layout.cuh"

namespace attnexport::hopper {

// Scores of a warpgroup's rows and a tile of keys.
template <class T, class C>
__device__ __forceinline__ void multiply_keys(float (&scores)[C::kCols / 2], uint32_t queries, uint32_t keys,
                                              uint32_t biases, uint32_t ones) {
#pragma unroll
    for (int depth = 0; depth < C::kWidth / 16; ++depth) {
        const uint32_t half = depth / 4, inside = depth % 4 * 32;
        Wgmma<T>::multiply_shared(scores, matrix(queries + half * 64 * 128 + inside),
                                  matrix(keys + half * C::kCols * 128 + inside), depth > 0);
    }
    if (C::kBias == Bias::kMultiplied)
        Wgmma<T>::multiply_shared(scores, matrix_of_pieces(ones, 64 * 16), matrix_of_pieces(biases, C::kCols * 16),
                                  true);
}

// 64 rows of three ones, which are multiplied by the three 16-bit pieces of a bias, and thirteen zeros.
template <class T>
__device__ __forceinline__ void write_ones(unsigned char *ones) {
    uint4 *rows = reinterpret_cast<uint4 *>(ones);
    if (threadIdx.x < 64) rows[threadIdx.x] = make_uint4(Wgmma<T>::pack(1.f, 1.f), Wgmma<T>::pack(1.f, 0.f), 0, 0);
    if (threadIdx.x >= 64 && threadIdx.x < 128) rows[threadIdx.x] = make_uint4(0, 0, 0, 0);
    fence_async();
}

// What the scores still lack.
template <class C>
__device__ __forceinline__ void add_biases(float (&scores)[C::kCols / 2], uint32_t biases) {
    if constexpr (C::kBias == Bias::kAdded) {
#pragma unroll
        for (int n = 0; n < C::kCols / 8; ++n) {
            const float2 bias = load_pair(biases + (n * 8 + threadIdx.x % 4 * 2) * 4);
            scores[n * 4] += bias.x;
            scores[n * 4 + 1] += bias.y;
            scores[n * 4 + 2] += bias.x;
            scores[n * 4 + 3] += bias.y;
        }
        __syncwarp();  // before a lane gives the stage back
    }
}

// out += weights times a tile of values.
template <class T, class C>
__device__ __forceinline__ void multiply_values(float (&out)[C::kWidth / 2],
                                                const uint32_t (&weights)[C::kCols / 16][4], uint32_t values) {
#pragma unroll
    for (int depth = 0; depth < C::kCols / 16; ++depth)
        Wgmma<T>::multiply_registers(out, weights[depth], matrix(values + depth * 16 * 128, C::kCols * 128), true);
}

// The running state of a thread's two rows.
struct RowState {
    static constexpr float kLargestGrowth = 8.f;  // weights may exceed one by 2^8 before the maximum follows
    float maximum[2], sum[2];

    // Turns scores into weights; returns whether this warp's sums must be multiplied by `rescale` first.
    template <int kPolynomials, int kScores>
    __device__ __forceinline__ bool weigh(float (&scores)[kScores], float scale, bool is_first, float (&rescale)[2]) {
        float largest[2] = {scores[0], scores[2]};
#pragma unroll
        for (int i = 0; i < kScores; ++i) largest[i / 2 % 2] = fmaxf(largest[i / 2 % 2], scores[i]);
#pragma unroll
        for (int half = 0; half < 2; ++half)
#pragma unroll
            for (int step = 1; step < 4; step *= 2)
                largest[half] = fmaxf(largest[half], __shfl_xor_sync(0xffffffffu, largest[half], step));
        bool grown = false;
        if (is_first) {
            maximum[0] = largest[0];
            maximum[1] = largest[1];
            sum[0] = sum[1] = 0.f;
        } else {
            grown = (largest[0] - maximum[0]) * scale > kLargestGrowth ||
                    (largest[1] - maximum[1]) * scale > kLargestGrowth;
            grown = __any_sync(0xffffffffu, grown);
            if (grown) {
#pragma unroll
                for (int half = 0; half < 2; ++half) {
                    const float now = fmaxf(maximum[half], largest[half]);
                    rescale[half] = exp2_fast((maximum[half] - now) * scale);
                    maximum[half] = now;
                    sum[half] *= rescale[half];
                }
            }
        }
        const float shift[2] = {maximum[0] * scale, maximum[1] * scale};
        float part[2] = {0.f, 0.f};
#pragma unroll
        for (int i = 0; i < kScores; ++i) {
            const float exponent = fmaf(scores[i], scale, -shift[i / 2 % 2]);
            scores[i] = i % 8 < kPolynomials ? exp2_polynomial(exponent) : exp2_fast(exponent);
            part[i / 2 % 2] += scores[i];
        }
        sum[0] += part[0];
        sum[1] += part[1];
        return grown;
    }
};

template <class T, int kCols>
__device__ __forceinline__ void pack_weights(uint32_t (&weights)[kCols / 16][4], const float (&scores)[kCols / 2]) {
#pragma unroll
    for (int depth = 0; depth < kCols / 16; ++depth)
#pragma unroll
        for (int e = 0; e < 4; ++e)
            weights[depth][e] = Wgmma<T>::pack(scores[depth * 8 + e * 2], scores[depth * 8 + e * 2 + 1]);
}

}  // namespace attnexport::hopper
