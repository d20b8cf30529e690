// The hooks of affine-scaled attention: alpha times softmax attention plus beta times the sum of the visible values.
#pragma once

#include <common/visibility.cuh>
#include <forward/variant.cuh>

namespace attnexport {

// Whether rows see different keys, so that each has a sum of its own.
__host__ __device__ inline bool sum_per_row(const Shape &s) { return s.causal && s.rows > 1; }

template <class T>
struct AffineRows {
    const T *alpha, *beta;
    const float *sums;
    float scale;  // times log2(e)
};

template <class T>
struct Affine : SoftmaxHooks<AffineRows<T>> {
    static constexpr bool kAdds = true;

    struct Row {
        float scale, alpha, beta;  // the absolute value of the scale: the maximum is
                                   // sought before scaling
        const float *sums;
    };

    static __device__ __forceinline__ bool negates_queries(const AffineRows<T> &p) { return p.scale < 0.f; }

    static __device__ __forceinline__ Row row(const AffineRows<T> &p, const Shape &s, int batch, int head, int i) {
        const int64_t at = (static_cast<int64_t>(batch) * s.heads + head) * s.rows + i;
        const int64_t pair = static_cast<int64_t>(batch) * s.kv_heads + head / (s.heads / s.kv_heads);
        const int64_t sums = sum_per_row(s) ? pair * (s.keys + 1) + visible_count(s, batch, i) : pair;
        return Row{fabsf(p.scale), widen(p.alpha[at]), widen(p.beta[at]), p.sums + sums * s.value_width};
    }

    static __device__ __forceinline__ float normalise(float sum, const Row &row) {
        return sum > 0.f ? row.alpha / sum : sum;  // zero, or NaN
    }

    static __device__ __forceinline__ float addend(const Row &row, float sum) { return row.beta * sum; }
    static __device__ __forceinline__ float value_sum(const Row &row, int column) { return row.sums[column]; }
};

}  // namespace attnexport
