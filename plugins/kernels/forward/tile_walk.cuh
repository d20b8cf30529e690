// The tiles of keys that a block of rows walks over.
#pragma once

#include <common/visibility.cuh>

#include <climits>

namespace attnexport {

// Smallest and largest bounds of the key ranges of some rows.
struct RangeBounds {
    int low_min = INT_MAX, low_max = 0, high_min = INT_MAX, high_max = 0;

    __device__ __forceinline__ void include(const KeyRange &range) {
        low_min = min(low_min, range.low);
        low_max = max(low_max, range.low);
        high_min = min(high_min, range.high);
        high_max = max(high_max, range.high);
    }

    // Joins the bounds of all lanes of a warp whose rows are those of lane / 4. Without neighbourhoods all ranges
    // start at key 0.
    template <bool kNear>
    __device__ __forceinline__ void join_rows_of_warp() {
#pragma unroll
        for (int step = 4; step < 32; step *= 2) {
            if (kNear) {
                low_min = min(low_min, __shfl_xor_sync(0xffffffffu, low_min, step));
                low_max = max(low_max, __shfl_xor_sync(0xffffffffu, low_max, step));
            }
            high_min = min(high_min, __shfl_xor_sync(0xffffffffu, high_min, step));
            high_max = max(high_max, __shfl_xor_sync(0xffffffffu, high_max, step));
        }
        if (!kNear) low_min = low_max = 0;
    }

    // Whether no row sees any of keys begin .. end - 1, and whether some row does not see all of them.
    __device__ __forceinline__ bool excludes(int begin, int end) const { return begin >= high_max || end <= low_min; }
    __device__ __forceinline__ bool cuts(int begin, int end) const { return begin < low_max || end > high_min; }
};

// The bounds of a block's rows: all of them, those of the first query head in it, and the others. A block that holds
// the last rows of one head and the first of the next sees keys far apart.
struct BlockBounds {
    RangeBounds all, first_head, other_heads;
};

constexpr int kBoundsScratch = 8;  // ints of shared memory

template <int kRows, int kThreads>
__device__ __forceinline__ BlockBounds block_bounds(const Shape &shape, const Neighbourhood &near, int batch, int first,
                                                    int *scratch) {
    for (int at = threadIdx.x; at < kBoundsScratch; at += kThreads) scratch[at] = at % 2 == 0 ? INT_MAX : 0;
    __syncthreads();
    const int total = shape.group_rows();
    for (int row = first + threadIdx.x; row < min(first + kRows, total); row += kThreads) {
        const KeyRange range = visible_keys(shape, near, batch, row % shape.rows);
        int *bounds = scratch + (row / shape.rows == first / shape.rows ? 0 : 4);
        atomicMin(bounds, range.low);
        atomicMax(bounds + 1, range.low);
        atomicMin(bounds + 2, range.high);
        atomicMax(bounds + 3, range.high);
    }
    __syncthreads();
    const RangeBounds one{scratch[0], scratch[1], scratch[2], scratch[3]};
    const RangeBounds other{scratch[4], scratch[5], scratch[6], scratch[7]};
    return BlockBounds{RangeBounds{min(one.low_min, other.low_min), max(one.low_max, other.low_max),
                                   min(one.high_min, other.high_min), max(one.high_max, other.high_max)},
                       one, other};
}

// Tiles of `cols` keys that rows first .. first + count - 1 touch, in order, restricted to this block's split
// (blockIdx.z).
template <bool kNear>
class TileWalk {
  public:
    __device__ __forceinline__ TileWalk(const Shape &shape, const Neighbourhood &near, const BlockBounds &bounds,
                                        int first, int count, int cols, int splits)
        : near_(near), cols_(cols) {
        const bool empty = bounds.all.low_min == INT_MAX;
        begin_ = empty || !kNear ? 0 : bounds.all.low_min / cols;
        end_ = empty ? 0 : tiles_to(bounds.all.high_max);
        if (kNear && bounds.other_heads.low_min != INT_MAX) {
            const bool in_order = bounds.first_head.low_min <= bounds.other_heads.low_min;
            const RangeBounds &lower = in_order ? bounds.first_head : bounds.other_heads;
            const RangeBounds &upper = in_order ? bounds.other_heads : bounds.first_head;
            gap_begin_ = tiles_to(lower.high_max);
            gap_end_ = upper.low_min / cols;
        }
        if (splits > 1) {
            const int per_split = (end_ - begin_ + splits - 1) / splits;
            begin_ += per_split * blockIdx.z;
            end_ = min(end_, begin_ + per_split);
        }
        if (kNear) {
            const int last = min(first + count, shape.group_rows()) - 1;
            const bool one_head = first / shape.rows == last / shape.rows;
            row_first_ = one_head ? first % shape.rows : 0;
            row_last_ = one_head ? last % shape.rows : shape.rows - 1;
        }
    }

    __device__ __forceinline__ int first() const { return touched(begin_); }
    __device__ __forceinline__ int after(int tile) const { return touched(tile + 1); }
    __device__ __forceinline__ int end() const { return end_; }

  private:
    __device__ __forceinline__ int tiles_to(int key) const { return (key + cols_ - 1) / cols_; }

    __device__ __forceinline__ int touched(int tile) const {
        if (!kNear) return tile;
        if (tile >= gap_begin_ && tile < gap_end_) tile = gap_end_;
        if (near_.grid_width > 0)
            while (tile < end_ && !grid_touches(near_, row_first_, row_last_, tile * cols_, (tile + 1) * cols_)) ++tile;
        return tile;
    }

    Neighbourhood near_;
    int cols_, begin_, end_, gap_begin_ = 0, gap_end_ = 0, row_first_ = 0, row_last_ = 0;
};

}  // namespace attnexport
