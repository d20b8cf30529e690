// What a block of either tensor-core selection knows of its rows, and its way over the tiles of keys.
#pragma once

#include <forward/attention_forward.cuh>

namespace attnexport {

template <class Variant, class T, class Config>
class SelectBlock {
    static constexpr int kWidth = Config::kWidth, kCols = Config::kCols, kRows = Config::kRows;
    static constexpr uint32_t kQueryBytes = Tile<T, kRows, kWidth>::kElements * sizeof(T);
    static constexpr uint32_t kTileBytes = Tile<T, kCols, kWidth>::kElements * sizeof(T);
    static_assert(Config::kRowTiles == 1, "a lane holds two rows");

  public:
    using Scores = Accumulator[1][kCols / 8];

    static constexpr size_t shared_bytes =
        kQueryBytes + 2 * kTileBytes + 2 * kCols * sizeof(float) + kBoundsScratch * sizeof(int);

    // Loads the queries; every thread of the block makes one.
    __device__ __forceinline__ explicit SelectBlock(const ParamsOf<Variant, T> &p)
        : near(neighbourhood_of<Variant>(p)),
          total(p.shape.group_rows()),
          first((gridDim.x - 1 - blockIdx.x) * kRows),
          batch(blockIdx.y / p.shape.kv_heads),
          first_row(static_cast<int64_t>(blockIdx.y) * total + first),
          walk(p.shape, near, load_queries(p), first, kRows, kCols, p.splits),
          rows_(p.shape.rows),
          norms_(Variant::kKeyNorms ? p.key_norms + static_cast<int64_t>(blockIdx.y) * p.shape.keys : nullptr),
          present_(present_keys(p.shape, batch)),
          keys_(p.k + static_cast<int64_t>(blockIdx.y) * p.shape.keys * p.shape.width, p.shape.width) {
        const int group = p.shape.heads / p.shape.kv_heads, kv_head = blockIdx.y % p.shape.kv_heads;
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const int row = first + local_row(half), known = min(row, total - 1);
            seen_[half] = row < total ? visible_keys(p.shape, near, batch, row % rows_) : KeyRange{0, 0};
            row_state_[0][half] =
                Variant::row(p.row_params, p.shape, batch, kv_head * group + known / rows_, known % rows_);
            if (row < total) warp_range_.include(seen_[half]);
        }
        warp_range_.template join_rows_of_warp<Variant::kNear>();
    }

    // Of the lane's row in either half of its warp's tile.
    static __device__ __forceinline__ int local_row(int half) {
        return threadIdx.x / 32 * 16 + half * 8 + threadIdx.x % 32 / 4;
    }

    // Key of element e of the lane's n-th accumulator.
    static __device__ __forceinline__ int key_at(int tile, int n, int e) {
        return tile * kCols + n * 8 + (threadIdx.x % 4) * 2 + e % 2;
    }

    // Shared memory behind the block's own.
    static __device__ __forceinline__ unsigned char *rest() { return dynamic_shared() + shared_bytes; }

    __device__ __forceinline__ void load_tile(int tile, int stage) const {
        const int begin = tile * kCols;
        keys_.load(tiles() + stage * kTileBytes, begin, present_);
        if (Variant::kKeyNorms)
            load_norms<kCols, Config::kThreads>(tile_norms() + stage * kCols, norms_, begin, present_);
        commit_copies();
    }

    __device__ __forceinline__ void scores(Scores &out, int stage) const {
        tile_scores<Variant, T, Config>(out, row_state_, tile_norms() + stage * kCols, shared_address(dynamic_shared()),
                                        tiles() + stage * kTileBytes, threadIdx.x / 32 * 16);
    }

    // Whether no row of the warp sees a key of the tile, and whether some row may not see all of them.
    __device__ __forceinline__ bool excludes(int tile) const {
        return warp_range_.excludes(tile * kCols, (tile + 1) * kCols);
    }

    __device__ __forceinline__ bool cuts(int tile) const {
        return near.grid_width > 0 || warp_range_.cuts(tile * kCols, (tile + 1) * kCols);
    }

    __device__ __forceinline__ bool sees(int half, int key) const {
        if (key < seen_[half].low || key >= seen_[half].high) return false;
        if (near.grid_width == 0) return true;
        const int i = (first + local_row(half)) % rows_;
        return grid_sees(near, i, cell_of(near, i), key);
    }

    const Neighbourhood near;
    const int total, first, batch;
    const int64_t first_row;  // among the rows of all pairs
    const TileWalk<Variant::kNear> walk;

  private:
    static __device__ __forceinline__ uint32_t tiles() { return shared_address(dynamic_shared()) + kQueryBytes; }

    static __device__ __forceinline__ float *tile_norms() {
        return reinterpret_cast<float *>(dynamic_shared() + kQueryBytes + 2 * kTileBytes);
    }

    __device__ __forceinline__ BlockBounds load_queries(const ParamsOf<Variant, T> &p) const {
        const T *q = p.q + static_cast<int64_t>(blockIdx.y) * total * p.shape.width;
        TileLoader<T, kRows, kWidth, Config::kThreads>(q, p.shape.width)
            .load(shared_address(dynamic_shared()), first, total);
        commit_copies();
        int *scratch = reinterpret_cast<int *>(tile_norms() + 2 * kCols);
        return block_bounds<kRows, Config::kThreads>(p.shape, near, batch, first, scratch);
    }

    const int rows_;
    const float *norms_;
    const int present_;
    const TileLoader<T, kCols, kWidth, Config::kThreads> keys_;
    typename Variant::Row row_state_[1][2];
    KeyRange seen_[2];
    RangeBounds warp_range_;
};

}  // namespace attnexport
