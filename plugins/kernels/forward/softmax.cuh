// Turns scores into weights, with a running maximum where the variant is a softmax, and adds the weights up.
#pragma once

#include <forward/block_rows.cuh>

namespace attnexport {

// Weights may exceed one by 2^kLargestGrowth before the running maximum follows: rescaling the sums becomes rare,
// and such weights and their sums are well inside the range of half and float.
constexpr float kLargestGrowth = 8.f;

__device__ __forceinline__ float quad_max(float x) {
    x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 1));
    return fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 2));
}

__device__ __forceinline__ float quad_sum(float x) {
    x += __shfl_xor_sync(0xffffffffu, x, 1);
    return x + __shfl_xor_sync(0xffffffffu, x, 2);
}

// The maximum of the scores of a thread's rows, and its share of the sums of their weights. Loops over columns are
// outermost, so that the chains of the rows overlap.
template <class Variant, class Config>
struct RunningSums {
    static constexpr int kRowTiles = Config::kRowTiles;
    using Rows = typename Variant::Row[kRowTiles][2];

    float maximum[kRowTiles][2], sum[kRowTiles][2];

    __device__ __forceinline__ RunningSums() {
#pragma unroll
        for (int m = 0; m < kRowTiles; ++m) {
            maximum[m][0] = maximum[m][1] = -INFINITY;
            sum[m][0] = sum[m][1] = 0.f;
        }
    }

    // Base-2 exponent of the largest weight.
    __device__ __forceinline__ float exponent(const Rows &rows, int m, int half) const {
        return Variant::exponent(maximum[m][half], rows[m][half]);
    }

    // Turns scores into weights and adds them; `out` is rescaled where a maximum moved. Whether there is any weight
    // is returned where it costs nothing to know: a softmax always has some.
    __device__ __forceinline__ bool weigh(typename Config::Scores &scores, typename Config::Output &out,
                                          const Rows &rows) {
        if (Variant::kSoftmax) {
            follow_maximum(scores, out, rows);
            exponentiate(scores, rows);
        }
        const bool any = add(scores);
        return Variant::kSoftmax || __any_sync(0xffffffffu, any);
    }

  private:
    __device__ __forceinline__ void follow_maximum(const typename Config::Scores &scores, typename Config::Output &out,
                                                   const Rows &rows) {
        float largest[kRowTiles][2];
#pragma unroll
        for (int m = 0; m < kRowTiles; ++m) {
            largest[m][0] = fmaxf(scores[m][0].x[0], scores[m][0].x[1]);
            largest[m][1] = fmaxf(scores[m][0].x[2], scores[m][0].x[3]);
        }
#pragma unroll
        for (int n = 1; n < Config::kCols / 8; ++n)
#pragma unroll
            for (int m = 0; m < kRowTiles; ++m)
#pragma unroll
                for (int e = 0; e < 4; ++e) largest[m][e / 2] = fmaxf(largest[m][e / 2], scores[m][n].x[e]);
        bool grown = false;
#pragma unroll
        for (int m = 0; m < kRowTiles; ++m)
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                largest[m][half] = fmaxf(maximum[m][half], quad_max(largest[m][half]));
                grown |= Variant::exponent(largest[m][half], rows[m][half]) - exponent(rows, m, half) > kLargestGrowth;
            }
        if (__any_sync(0xffffffffu, grown)) rescale(out, largest, rows);
    }

    __device__ __forceinline__ void rescale(typename Config::Output &out, const float (&largest)[kRowTiles][2],
                                            const Rows &rows) {
#pragma unroll
        for (int m = 0; m < kRowTiles; ++m)
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                const float before = exponent(rows, m, half);
                maximum[m][half] = largest[m][half];
                const float now = exponent(rows, m, half);
                const float factor = now == -INFINITY ? 1.f : exp2_fast(before - now);
                sum[m][half] *= factor;
#pragma unroll
                for (int n = 0; n < Config::kWidth / 8; ++n) {
                    out[m][n].x[half * 2] *= factor;
                    out[m][n].x[half * 2 + 1] *= factor;
                }
            }
    }

    __device__ __forceinline__ void exponentiate(typename Config::Scores &scores, const Rows &rows) const {
        float shift[kRowTiles][2];
#pragma unroll
        for (int m = 0; m < kRowTiles; ++m)
#pragma unroll
            for (int half = 0; half < 2; ++half)
                shift[m][half] = maximum[m][half] == -INFINITY ? 0.f : exponent(rows, m, half);
#pragma unroll
        for (int n = 0; n < Config::kCols / 8; ++n)
#pragma unroll
            for (int m = 0; m < kRowTiles; ++m)
#pragma unroll
                for (int e = 0; e < 4; ++e)
                    scores[m][n].x[e] =
                        exp2_fast(Variant::exponent_minus(scores[m][n].x[e], shift[m][e / 2], rows[m][e / 2]));
    }

    // Returns whether this thread saw a weight: a NaN is one.
    __device__ __forceinline__ bool add(const typename Config::Scores &weights) {
        float part[kRowTiles][2] = {};
#pragma unroll
        for (int n = 0; n < Config::kCols / 8; ++n)
#pragma unroll
            for (int m = 0; m < kRowTiles; ++m)
#pragma unroll
                for (int e = 0; e < 4; ++e) part[m][e / 2] += weights[m][n].x[e];
        bool any = false;
#pragma unroll
        for (int m = 0; m < kRowTiles; ++m)
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                sum[m][half] += part[m][half];
                any |= part[m][half] != 0.f;
            }
        return any;
    }
};

}  // namespace attnexport
