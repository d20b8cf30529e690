// The tiles of keys that a block of rows walks over.
#pragma once

#include <attnexport/visibility.cuh>

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

    // Joins the bounds of all lanes of a warp whose rows are those of lane / 4.
    __device__ __forceinline__ void join_rows_of_warp() {
#pragma unroll
        for (int step = 4; step < 32; step *= 2) {
            low_min = min(low_min, __shfl_xor_sync(0xffffffffu, low_min, step));
            low_max = max(low_max, __shfl_xor_sync(0xffffffffu, low_max, step));
            high_min = min(high_min, __shfl_xor_sync(0xffffffffu, high_min, step));
            high_max = max(high_max, __shfl_xor_sync(0xffffffffu, high_max, step));
        }
    }

    // Whether no row sees any of keys begin .. end - 1, and whether some row does not see all of them.
    __device__ __forceinline__ bool excludes(int begin, int end) const { return begin >= high_max || end <= low_min; }
    __device__ __forceinline__ bool cuts(int begin, int end) const { return begin < low_max || end > high_min; }
};

template <int kRows, int kThreads>
__device__ __forceinline__ RangeBounds block_range(
    const Shape &shape, const Neighbourhood &near, int batch, int first, int *scratch) {
    if (threadIdx.x == 0) {
        scratch[0] = INT_MAX;
        scratch[1] = 0;
        scratch[2] = INT_MAX;
        scratch[3] = 0;
    }
    __syncthreads();
    const int total = shape.group_rows();
    for (int row = threadIdx.x; row < kRows; row += kThreads) {
        if (first + row < total) {
            const KeyRange range = visible_keys(shape, near, batch, (first + row) % shape.rows);
            atomicMin(scratch, range.low);
            atomicMax(scratch + 1, range.low);
            atomicMin(scratch + 2, range.high);
            atomicMax(scratch + 3, range.high);
        }
    }
    __syncthreads();
    RangeBounds bounds;
    bounds.low_min = scratch[0];
    bounds.low_max = scratch[1];
    bounds.high_min = scratch[2];
    bounds.high_max = scratch[3];
    return bounds;
}

// Tiles of `cols` keys that rows first .. first + count - 1 touch, in order, restricted to this block's split (blockIdx.z).
template <bool kGrid>
class TileWalk {
  public:
    __device__ __forceinline__ TileWalk(const Shape &shape, const Neighbourhood &near, const RangeBounds &range, int first,
                                        int count, int cols, int splits)
        : near_(near), cols_(cols) {
        begin_ = range.low_min == INT_MAX ? 0 : range.low_min / cols;
        end_ = range.low_min == INT_MAX ? 0 : (range.high_max + cols - 1) / cols;
        if (splits > 1) {
            const int per_split = (end_ - begin_ + splits - 1) / splits;
            begin_ += per_split * blockIdx.z;
            end_ = min(end_, begin_ + per_split);
        }
        if (kGrid) {
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
    __device__ __forceinline__ int touched(int tile) const {
        if (kGrid && near_.grid_width > 0)
            while (tile < end_ && !grid_touches(near_, row_first_, row_last_, tile * cols_, (tile + 1) * cols_)) ++tile;
        return tile;
    }

    const Neighbourhood &near_;
    int cols_, begin_, end_, row_first_ = 0, row_last_ = 0;
};

}  // namespace attnexport
