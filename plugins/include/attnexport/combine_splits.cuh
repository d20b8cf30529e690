// Joins the parts of a launch whose keys were split over blocks.
#pragma once

#include <attnexport/mma.cuh>
#include <attnexport/variant.cuh>

namespace attnexport {

// One warp a row, the parts in order, so that equal inputs give equal bits.
template <class Variant, class T>
__global__ void combine_splits(const ParamsOf<Variant, T> p) {
    const Shape &shape = p.shape;
    const int group = shape.heads / shape.kv_heads, total = group * shape.rows;
    const int64_t rows = static_cast<int64_t>(shape.batch) * shape.kv_heads * total;
    const int64_t at = static_cast<int64_t>(blockIdx.x) * (blockDim.x / 32) + threadIdx.x / 32;
    if (at >= rows) return;
    const int lane = threadIdx.x % 32, row = static_cast<int>(at % total);
    const int pair = static_cast<int>(at / total);
    const int head = pair % shape.kv_heads * group + row / shape.rows;
    const typename Variant::Row state =
        Variant::row(p.row_params, shape, pair / shape.kv_heads, head, row % shape.rows);
    float largest = -INFINITY;
    if (Variant::kSoftmax)
        for (int split = 0; split < p.splits; ++split) largest = fmaxf(largest, p.partial_states[split * rows + at].x);
    const float shift = largest == -INFINITY ? 0.f : largest;
    float sum = 0.f;
    for (int split = 0; split < p.splits; ++split) {
        const float2 part = p.partial_states[split * rows + at];
        sum += part.y * (Variant::kSoftmax ? exp2_fast(part.x - shift) : 1.f);
    }
    const float factor = Variant::normalise(sum, state);
    for (int column = lane; column < shape.value_width; column += 32) {
        float value = 0.f;
        for (int split = 0; split < p.splits; ++split) {
            const float weight = Variant::kSoftmax ? exp2_fast(p.partial_states[split * rows + at].x - shift) : 1.f;
            value += weight * p.partial_sums[(split * rows + at) * shape.value_width + column];
        }
        value *= factor;
        if (Variant::kAdds) {
            float values = p.value_sums == nullptr ? Variant::value_sum(state, column) : 0.f;
            if (p.value_sums != nullptr)
                for (int split = 0; split < p.splits; ++split)
                    values += p.value_sums[(static_cast<int64_t>(split) * shape.pairs() + pair) * shape.value_width + column];
            value += Variant::addend(state, values);
        }
        p.out[at * shape.value_width + column] = narrow<T>(value);
    }
}

}  // namespace attnexport
