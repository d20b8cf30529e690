// The hooks of Krause attention: softmax of (q.k - |k|^2 / 2) / sigma^2.
#pragma once

#include <forward/variant.cuh>

namespace attnexport {

template <class T>
struct KrauseRows {
    const T *sigma;
    bool per_head;
};

template <class T, bool kGeneral_>
struct Krause : SoftmaxHooks<KrauseRows<T>> {
    static constexpr bool kKeyNorms = true, kGeneral = kGeneral_, kNear = true;

    struct Row {
        float scale;  // log2(e) / sigma^2
    };

    static __device__ __forceinline__ Row row(const KrauseRows<T> &p, const Shape &, int, int head, int) {
        const float sigma = widen(p.sigma[p.per_head ? head : 0]);
        return Row{kLog2E / (sigma * sigma)};
    }

    // The product q.k is added to -|k|^2 / 2.
    static __device__ __forceinline__ float initial(float norm, const Row &) { return norm; }
};

}  // namespace attnexport
