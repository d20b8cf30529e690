// The query rows of a warpgroup that selects, all of one query head.
#pragma once

#include <forward/params.cuh>
#include <forward/tile_walk.cuh>

namespace attnexport::sm90 {

// A thread holds two rows of its warp's 16, its halves. A warpgroup that copies comes first in the block.
template <class Variant, class T>
struct HeadRows {
    const int pair;   // of a sample and a head of keys and values
    const int first;  // row of the query head
    const int total;  // rows of the query head
    typename Variant::Row state[1][2];
    KeyRange seen[1][2];
    RangeBounds warp_range;

    // The rows from `first_row` on of the head-th head of all samples.
    __device__ __forceinline__ HeadRows(const ParamsOf<Variant, T> &p, int head, int first_row)
        : pair(head / (p.shape.heads / p.shape.kv_heads)), first(first_row), total(p.shape.rows), head_(head) {
        const int batch = head / p.shape.heads;
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const int own = first + local_row(half);
            seen[0][half] =
                own < total ? visible_keys(p.shape, neighbourhood_of<Variant>(p), batch, own) : KeyRange{0, 0};
            state[0][half] = Variant::row(p.row_params, p.shape, batch, head % p.shape.heads, min(own, total - 1));
            if (own < total) warp_range.include(seen[0][half]);
        }
        warp_range.template join_rows_of_warp<Variant::kNear>();
    }

    static __device__ __forceinline__ int warp_row() { return (static_cast<int>(threadIdx.x) - 128) / 32 * 16; }

    static __device__ __forceinline__ int local_row(int half) {
        return warp_row() + half * 8 + static_cast<int>(threadIdx.x) % 32 / 4;
    }

    // Of row `first` among the rows of all query heads.
    __device__ __forceinline__ int64_t first_row() const { return static_cast<int64_t>(head_) * total + first; }

    __device__ __forceinline__ bool sees(int, int half, int key) const {
        return key >= seen[0][half].low && key < seen[0][half].high;
    }

  private:
    const int head_;
};

}  // namespace attnexport::sm90
