// Joins the parts of rows whose keys were split over blocks.
#pragma once

#include "pairs.cuh"

namespace attnexport {

// A thread per row and column, the parts in order, so that equal inputs give equal bits.
template <class T>
__global__ void hla_combine(const HlaParams<T> p) {
    const int width = p.shape.value_width;
    const int64_t rows = static_cast<int64_t>(p.shape.pairs()) * p.shape.group_rows();
    const int64_t at = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x, row = at / width;
    if (row >= rows) return;
    float exponent = kEmptyExponent;
    for (int split = 0; split < p.splits; ++split) exponent = fminf(exponent, p.partial_sums[split * rows + row].y);
    float value = 0.f, sum = 0.f;
    for (int split = 0; split < p.splits; ++split) {
        const float2 part = p.partial_sums[split * rows + row];
        const WideScale scale(static_cast<int>(exponent - part.y));
        value += scale(p.partial_values[split * rows * width + at]);
        sum += scale(part.x);
    }
    p.out[at] = narrow<T>(value * inverse_of_sum(sum, p.eps, static_cast<int>(exponent)));
}

}  // namespace attnexport
