// The operands of one launch of the forward kernels.
#pragma once

#include <common/shape.h>
#include <forward/variant.cuh>

namespace attnexport {

// The selected keys of a row: those whose score is above this one, and of those equal to it the first `room`, up to
// index `last`.
struct Threshold {
    float score;
    int last;
    int room;
};

// Keys whose values have a sum in memory before them; what a row sees of them it adds itself.
constexpr int kSumChunk = 64;

__host__ __device__ inline int sum_chunks(const Shape &s) { return s.rows_differ() ? s.keys / kSumChunk + 1 : 1; }

// Rows are counted over the group of query heads that share a key head.
template <class RowParams, class T>
struct ForwardParams {
    Shape shape;
    Neighbourhood neighbourhood;
    const T *q, *k, *v;
    T *out;
    const float *key_norms;  // -|k|^2 / 2 (batch, kv_heads, keys); null: the kernel for few rows computes them
    RowParams row_params;
    const Threshold *thresholds;  // (batch, kv_heads, group rows); null: all keys are selected
    bool normalise_over_all;      // the sum of weights counts keys that were not selected, too
    int splits;
    float *partial_sums;     // (splits, batch, kv_heads, group rows, value_width)
    float2 *partial_states;  // (splits, batch, kv_heads, group rows): exponent of the maximum, and sum
    // Where the variant adds the sum of the values that a row sees. Of the values before every kSumChunk-th key
    // (batch, kv_heads, keys / kSumChunk + 1, value_width); of what all rows see (batch, kv_heads, value_width), where
    // they do not differ; or null: then the parts (splits, batch, kv_heads, value_width) are written on the way.
    const float *values_before;
    float *value_parts;
};

// The neighbourhood as a variant sees it: constants where it knows none.
template <class Variant, class Params>
__host__ __device__ Neighbourhood neighbourhood_of(const Params &p) {
    Neighbourhood near{};
    if (Variant::kNear) {
        near = p.neighbourhood;
        if (!Variant::kGeneral) near.grid_width = 0;
    }
    return near;
}

template <class Variant, class T>
using ParamsOf = ForwardParams<typename Variant::RowParams, T>;

}  // namespace attnexport
