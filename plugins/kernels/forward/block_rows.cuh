// The query rows of a block of a tensor-core kernel: which they are, what their hooks need and which keys they see.
#pragma once

#include <forward/config.cuh>
#include <forward/params.cuh>

namespace attnexport {

// A thread holds two rows of each tile of its warp, its halves.
template <class Variant, class T, class Config>
struct BlockRows {
    static constexpr int kRowTiles = Config::kRowTiles;

    const Neighbourhood near;
    const int total;  // rows of the pair
    const int first;  // of the block
    const int pair, batch;
    typename Variant::Row state[kRowTiles][2];
    KeyRange seen[kRowTiles][2];
    RangeBounds warp_range;

    __device__ __forceinline__ explicit BlockRows(const ParamsOf<Variant, T> &p)
        : BlockRows(p, (gridDim.x - 1 - blockIdx.x) * Config::kRows, blockIdx.y) {}

    __device__ __forceinline__ BlockRows(const ParamsOf<Variant, T> &p, int first_row, int pair_of_rows)
        : near(neighbourhood_of<Variant>(p)),
          total(p.shape.group_rows()),
          first(first_row),
          pair(pair_of_rows),
          batch(pair_of_rows / p.shape.kv_heads),
          rows_(p.shape.rows) {}

    // Reads the rows; before this only the numbers above are there.
    __device__ __forceinline__ void read(const ParamsOf<Variant, T> &p) {
#pragma unroll
        for (int m = 0; m < kRowTiles; ++m)
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                seen[m][half] =
                    exists(m, half) ? visible_keys(p.shape, near, batch, row(m, half) % rows_) : KeyRange{0, 0};
                state[m][half] = state_of(p, m, half);
                if (exists(m, half)) warp_range.include(seen[m][half]);
            }
        warp_range.join_rows_of_warp<Variant::kNear>();
    }

    // What a row's hooks need. Asked for again at the end, so that what only the end needs holds no registers before.
    __device__ __forceinline__ typename Variant::Row state_of(const ParamsOf<Variant, T> &p, int m, int half) const {
        const int group = p.shape.heads / p.shape.kv_heads, known = min(row(m, half), total - 1);
        const int head = pair % p.shape.kv_heads * group + known / rows_;
        return Variant::row(p.row_params, p.shape, batch, head, known % rows_);
    }

    static __device__ __forceinline__ int warp_row() { return threadIdx.x / 32 * kRowTiles * 16; }

    // The thread's row in the block.
    static __device__ __forceinline__ int local_row(int m, int half) {
        return warp_row() + m * 16 + half * 8 + threadIdx.x % 32 / 4;
    }

    // The same among the rows of the pair.
    __device__ __forceinline__ int row(int m, int half) const { return first + local_row(m, half); }
    __device__ __forceinline__ bool exists(int m, int half) const { return row(m, half) < total; }

    // Key of element e of the thread's n-th accumulator of a tile.
    static __device__ __forceinline__ int key_at(int tile, int n, int e) {
        return tile * Config::kCols + n * 8 + (threadIdx.x % 4) * 2 + e % 2;
    }

    // Whether no row of the warp sees a key of the tile, and whether some row may not see all of them.
    __device__ __forceinline__ bool excludes(int tile) const {
        return warp_range.excludes(tile * Config::kCols, (tile + 1) * Config::kCols);
    }

    __device__ __forceinline__ bool cuts(int tile) const {
        return near.grid_width > 0 || warp_range.cuts(tile * Config::kCols, (tile + 1) * Config::kCols);
    }

    __device__ __forceinline__ bool sees(int m, int half, int key) const {
        if (key < seen[m][half].low || key >= seen[m][half].high) return false;
        if (near.grid_width == 0) return true;
        const int i = row(m, half) % rows_;
        return grid_sees(near, i, cell_of(near, i), key);
    }

  private:
    const int rows_;  // of a query head
};

}  // namespace attnexport
