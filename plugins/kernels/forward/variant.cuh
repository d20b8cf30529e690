// What a variant tells the kernels, and the operands of one launch.
//
// A variant's weights are a function of q.k, the key's norm and numbers per row. It is a struct of hooks:
//
//   kSoftmax       weights are exp2 of exponent(score), normalised with a running maximum; else score is the weight
//   kKeyNorms      initial() gets minus half the squared norm of the key
//   kAdds          addend(row, value_sum) is added to the normalised result; value_sum(row, column) is the sum of the
//                  visible values, unless p.value_sums gathers it
//   kNear          knows neighbourhoods: p.neighbourhood's window, and its grid where kGeneral
//   kGeneral       knows selections (p.thresholds), and grids where kNear
//   kHidden        score of a key that a row does not see: -INFINITY or 0
//   RowParams, Row, row()      what a row needs, read once per row
//   negates_queries(params)    the scores are those of -q
//   initial(norm, row)         what the product q.k is added to
//   score(sum, row)            of that sum: what is compared, selected by and weighted
//   exponent(score, row)       base-2 exponent of the weight; exponent_minus(score, shift, row) the same less shift
//   normalise(sum, row)        factor on the weighted sum of the values
#pragma once

#include <common/shape.h>
#include <common/platform.cuh>

#include <cmath>

namespace attnexport {

constexpr float kLog2E = 1.4426950408889634f;

// The selected keys of a row: those whose score is above this one, and of those equal to it the first `room`, up to
// index `last`.
struct Threshold {
    float score;
    int last;
    int room;
};

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
    float *value_sums;       // (splits, batch, kv_heads, value_width), written on the way; null: value_sum() knows
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
