// The hooks of affine-scaled attention: alpha times softmax attention plus beta times the sum of the visible values.
#pragma once

#include <forward/variant.cuh>

namespace attnexport {

template <class T>
struct AffineRows {
    const T *alpha, *beta;
    float scale;  // times log2(e)
};

template <class T>
struct Affine : SoftmaxHooks<AffineRows<T>> {
    static constexpr bool kAdds = true;

    struct Row {
        float scale, alpha, beta;  // the absolute value of the scale: the maximum is
                                   // sought before scaling
    };

    static __device__ __forceinline__ bool negates_queries(const AffineRows<T> &p) { return p.scale < 0.f; }

    static __device__ __forceinline__ Row row(const AffineRows<T> &p, const Shape &s, int batch, int head, int i) {
        const int64_t at = (static_cast<int64_t>(batch) * s.heads + head) * s.rows + i;
        return Row{fabsf(p.scale), widen(p.alpha[at]), widen(p.beta[at])};
    }

    static __device__ __forceinline__ float normalise(float sum, const Row &row) {
        return sum > 0.f ? row.alpha / sum : sum;  // zero, or NaN
    }

    static __device__ __forceinline__ float added(const Row &row) { return row.beta; }
};

}  // namespace attnexport
