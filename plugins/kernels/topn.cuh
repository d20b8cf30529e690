// The hooks of top-N attention: softmax of scaled products, of which rows keep the largest.
#pragma once

#include <forward/variant.cuh>

namespace attnexport {

struct TopNRow {
    float scale;  // times log2(e)
};

struct TopN : SoftmaxHooks<TopNRow> {
    static constexpr bool kGeneral = true;

    // Scaled before rows select by it: the scale may be negative.
    static __device__ __forceinline__ float score(float dot, const Row &row) { return dot * row.scale; }
    static __device__ __forceinline__ float exponent(float score, const Row &) { return score; }
    static __device__ __forceinline__ float exponent_minus(float score, float shift, const Row &) {
        return score - shift;
    }
};

}  // namespace attnexport
