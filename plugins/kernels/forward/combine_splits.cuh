// Joins the parts of a launch whose keys were split over blocks.
#pragma once

#include <forward/mma.cuh>
#include <forward/value_sums.cuh>

namespace attnexport {

constexpr int kMostSplits = 64;

__host__ __device__ inline int combine_warps_per_row(const Shape &s) { return (s.value_width + 31) / 32; }

// One warp for 32 columns of a row. Everything is added in a fixed order, so that equal inputs give equal bits.
template <class Variant, class T>
__global__ void combine_splits(const ParamsOf<Variant, T> p) {
    wait_for_previous();
    const Shape &shape = p.shape;
    const int group = shape.heads / shape.kv_heads, total = group * shape.rows, pieces = combine_warps_per_row(shape);
    const int64_t rows = static_cast<int64_t>(shape.batch) * shape.kv_heads * total;
    const int64_t warp = static_cast<int64_t>(blockIdx.x) * (blockDim.x / 32) + threadIdx.x / 32, at = warp / pieces;
    if (at >= rows) return;
    const int lane = threadIdx.x % 32, row = static_cast<int>(at % total),
              column = static_cast<int>(warp % pieces) * 32 + lane;
    const int pair = static_cast<int>(at / total);
    const int head = pair % shape.kv_heads * group + row / shape.rows;
    const typename Variant::Row state =
        Variant::row(p.row_params, shape, pair / shape.kv_heads, head, row % shape.rows);

    // A lane holds the states of every 32nd part.
    constexpr int kOwn = kMostSplits / 32;
    float2 part[kOwn];
    float largest = -INFINITY, sum = 0.f, weight[kOwn];
#pragma unroll
    for (int own = 0; own < kOwn; ++own) {
        const int split = own * 32 + lane;
        part[own] = split < p.splits ? p.partial_states[split * rows + at] : make_float2(-INFINITY, 0.f);
        largest = fmaxf(largest, part[own].x);
    }
#pragma unroll
    for (int step = 16; step > 0; step /= 2) largest = fmaxf(largest, __shfl_xor_sync(0xffffffffu, largest, step));
    const float shift = largest == -INFINITY ? 0.f : largest;
#pragma unroll
    for (int own = 0; own < kOwn; ++own) {
        weight[own] = Variant::kSoftmax ? exp2_fast(part[own].x - shift) : 1.f;
        sum += part[own].y * weight[own];
    }
#pragma unroll
    for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, step);

    const int known = min(column, shape.value_width - 1);
    const float *sums = p.partial_sums + at * shape.value_width + known;
    const bool gathers = Variant::kAdds && p.values_before == nullptr;
    const float *more = gathers ? p.value_parts + static_cast<int64_t>(pair) * shape.value_width + known : nullptr;
    float value = 0.f, values = 0.f;
#pragma unroll
    for (int own = 0; own < kOwn; ++own)
#pragma unroll 8
        for (int split = own * 32; split < min(p.splits, own * 32 + 32); ++split) {
            value += __shfl_sync(0xffffffffu, weight[own], split % 32) * sums[split * rows * shape.value_width];
            if (gathers) values += more[static_cast<int64_t>(split) * shape.pairs() * shape.value_width];
        }
    if (column >= shape.value_width) return;
    value *= Variant::normalise(sum, state);
    if (Variant::kAdds && !gathers)
        values = value_sum<Variant, T>(p, pair, visible_count(shape, pair / shape.kv_heads, row % shape.rows), column);
    if (Variant::kAdds) value += Variant::added(state) * values;
    p.out[at * shape.value_width + column] = narrow<T>(value);
}

}  // namespace attnexport
