// The sums of the values that rows see, for variants that add them to their results.
//
// A row's sum is that before the chunk in which its last key lies, from memory, and of what it sees of that chunk. A
// block of many rows adds the latter by one more product; others add value by value.
#pragma once

#include <forward/block_rows.cuh>
#include <forward/forward_tiles.cuh>

namespace attnexport {

// The sum before the chunk of a row that sees the first `count` keys.
template <class Variant, class T>
__device__ __forceinline__ const float *values_before(const ParamsOf<Variant, T> &p, int64_t pair, int count) {
    const int chunk = p.shape.rows_differ() ? count / kSumChunk : 0;
    return p.values_before + (pair * sum_chunks(p.shape) + chunk) * p.shape.value_width;
}

// One column of a row's sum.
template <class Variant, class T>
__device__ __forceinline__ float value_sum(const ParamsOf<Variant, T> &p, int64_t pair, int count, int column) {
    float sum = values_before<Variant, T>(p, pair, count)[column];
    if (!p.shape.rows_differ()) return sum;
    const T *values = p.v + pair * p.shape.keys * p.shape.value_width + column;
    for (int key = count / kSumChunk * kSumChunk; key < count; ++key)
        sum += widen(values[static_cast<int64_t>(key) * p.shape.value_width]);
    return sum;
}

// Adds to a block's normalised rows what they see of the chunks in which their last keys lie.
template <class Variant, class T, class Config>
class LastValues {
  public:
    // Behind the block's last tile of keys, by all its threads.
    static __device__ __forceinline__ void add(typename Config::Output &out, const ParamsOf<Variant, T> &p,
                                               const ForwardTiles<Variant, T, Config> &tiles,
                                               const BlockRows<Variant, T, Config> &rows, const BlockBounds &bounds) {
        if (!p.shape.rows_differ() || bounds.all.low_min == INT_MAX) return;
        for (int tile = first_tile(bounds.all); tile * Config::kCols < bounds.all.high_max; ++tile)
            if (holds_last_keys(bounds.first_head, tile) || holds_last_keys(bounds.other_heads, tile))
                add_tile(out, tiles, rows, tile);
    }

  private:
    // The tile in which the chunk begins that the last key of some of the rows is in.
    static __device__ __forceinline__ int first_tile(const RangeBounds &seen) {
        return seen.high_min / kSumChunk * kSumChunk / Config::kCols;
    }

    // Whether a tile is from there to the last key of all of them. `seen` are the bounds of some rows of one head,
    // whose last keys lie close together.
    static __device__ __forceinline__ bool holds_last_keys(const RangeBounds &seen, int tile) {
        return seen.low_min != INT_MAX && tile >= first_tile(seen) && tile * Config::kCols < seen.high_max;
    }

    static __device__ __forceinline__ void add_tile(typename Config::Output &out,
                                                    const ForwardTiles<Variant, T, Config> &tiles,
                                                    const BlockRows<Variant, T, Config> &rows, int tile) {
        __syncthreads();
        tiles.load_values(tile, 0);
        commit_copies();
        wait_for_copies<0>();
        __syncthreads();
        typename Config::Scores weights;
        weigh(weights, rows, tile);
        multiply_values<T, Config>(out, weights, tiles.values(0));
    }

    static __device__ __forceinline__ void weigh(typename Config::Scores &weights,
                                                 const BlockRows<Variant, T, Config> &rows, int tile) {
#pragma unroll
        for (int n = 0; n < Config::kCols / 8; ++n)
#pragma unroll
            for (int m = 0; m < Config::kRowTiles; ++m)
#pragma unroll
                for (int e = 0; e < 4; ++e) {
                    const int key = rows.key_at(tile, n, e), count = rows.seen[m][e / 2].high;
                    const bool counts = key < count && key >= count / kSumChunk * kSumChunk;
                    weights[m][n].x[e] = counts ? Variant::added(rows.state[m][e / 2]) : 0.f;
                }
    }
};

}  // namespace attnexport
