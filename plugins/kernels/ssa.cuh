// The hooks of selective synchronization attention: weights of the distance of the natural frequencies of a pair.
#pragma once

#include <common/visibility.cuh>
#include <forward/variant.cuh>

namespace attnexport {

// Whether rows see different keys, so that each has an order parameter of its own.
__host__ __device__ inline bool order_per_row(const Shape &s) { return s.causal && s.rows > 1; }

template <class T>
struct SsaRows {
    const T *coupling, *alpha;
    const float *order, *row_norms;
    float eps;
};

template <class T, bool kGeneral_>
struct Ssa : WeightHooks<SsaRows<T>> {
    static constexpr bool kKeyNorms = true, kGeneral = kGeneral_;

    struct Row {
        float half_norm, decay, lock, eps;  // -|omega_i|^2 / 2, 4 alpha log2(e), 2 / (K r)^2
    };

    static __device__ __forceinline__ Row row(const SsaRows<T> &p, const Shape &s, int batch, int head, int i) {
        const int64_t pair = static_cast<int64_t>(batch) * s.kv_heads + head / (s.heads / s.kv_heads);
        const float order = p.order[order_per_row(s) ? pair * (s.keys + 1) + visible_count(s, batch, i) : pair];
        const float lock = widen(p.coupling[0]) * order;
        const int64_t at = (static_cast<int64_t>(batch) * s.heads + head) * s.rows + i;
        const float decay = 4.f * kLog2E * widen(p.alpha[head]);
        return Row{-p.row_norms[at], decay, 2.f / max_or_nan(lock * lock, 1e-30f), p.eps};
    }

    // The product q.k is added to -(|q|^2 + |k|^2) / 2, which makes -D2 / 2.
    static __device__ __forceinline__ float initial(float norm, const Row &row) { return row.half_norm + norm; }

    static __device__ __forceinline__ float score(float sum, const Row &row) {
        const float negative = min_or_nan(sum, 0.f);
        const float inner = fmaf(negative, row.lock, exp2_fast(negative * row.decay));
        return square_root_fast(max_or_nan(inner, 0.f));
    }

    static __device__ __forceinline__ float normalise(float sum, const Row &row) { return 1.f / (sum + row.eps); }
};

}  // namespace attnexport
