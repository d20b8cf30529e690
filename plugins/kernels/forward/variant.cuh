// The hooks by which a variant tells the kernels its formula, and their defaults.
//
// A variant's weights are a function of q.k, the key's norm and numbers per row. It is a struct that derives from
// SoftmaxHooks or WeightHooks and hides what differs:
//
//   kSoftmax       weights are exp2 of exponent(score), normalised with a running maximum; else score is the weight
//   kKeyNorms      initial() gets minus half the squared norm of the key
//   kAdds          added(row), a number of the inputs' type, times the sum of the values that the row sees is added to
//                  the normalised result
//   kNear          knows neighbourhoods: p.neighbourhood's window, and its grid where kGeneral
//   kGeneral       knows selections (p.thresholds), and grids where kNear
//   kHidden        score of a key that a row does not see: -INFINITY or 0
//   RowParams, Row, row()      what a row needs, read once per row from what the launch was given
//   negates_queries(params)    the scores are those of -q
//   initial(norm, row)         what the product q.k is added to
//   score(sum, row)            of that sum: what is compared, selected by and weighted
//   exponent(score, row)       base-2 exponent of the weight; exponent_minus(score, shift, row) the same less shift
//   normalise(sum, row)        factor on the weighted sum of the values
#pragma once

#include <common/shape.h>
#include <forward/mma.cuh>

#include <cmath>

namespace attnexport {

constexpr float kLog2E = 1.4426950408889634f;

// Softmax attention of q.k times row.scale, which holds the factor log2(e).
template <class RowParams_>
struct SoftmaxHooks {
    static constexpr bool kSoftmax = true, kKeyNorms = false, kAdds = false, kGeneral = false, kNear = false;
    static constexpr float kHidden = -INFINITY;
    using RowParams = RowParams_;
    using Row = RowParams;

    static __device__ __forceinline__ bool negates_queries(const RowParams &) { return false; }

    static __device__ __forceinline__ RowParams row(const RowParams &p, const Shape &, int, int, int) { return p; }

    template <class Row>
    static __device__ __forceinline__ float initial(float, const Row &) {
        return 0.f;
    }

    template <class Row>
    static __device__ __forceinline__ float score(float sum, const Row &) {
        return sum;
    }

    template <class Row>
    static __device__ __forceinline__ float exponent(float score, const Row &row) {
        return score * row.scale;
    }

    template <class Row>
    static __device__ __forceinline__ float exponent_minus(float score, float shift, const Row &row) {
        return fmaf(score, row.scale, -shift);
    }

    template <class Row>
    static __device__ __forceinline__ float normalise(float sum, const Row &) {
        return sum > 0.f ? 1.f / sum : sum;  // zero, or NaN
    }

    template <class Row>
    static __device__ __forceinline__ float added(const Row &) {
        return 0.f;
    }
};

// Weights that score() gives as they are, summed without a normalisation.
template <class RowParams>
struct WeightHooks : SoftmaxHooks<RowParams> {
    static constexpr bool kSoftmax = false;
    static constexpr float kHidden = 0.f;

    template <class Row>
    static __device__ __forceinline__ float exponent(float score, const Row &) {
        return score;
    }

    template <class Row>
    static __device__ __forceinline__ float exponent_minus(float score, float, const Row &) {
        return score;
    }

    template <class Row>
    static __device__ __forceinline__ float normalise(float, const Row &) {
        return 1.f;
    }
};

}  // namespace attnexport
