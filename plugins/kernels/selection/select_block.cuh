// What a block of either tensor-core selection knows of its rows, and its way over the tiles of keys.
#pragma once

#include <forward/block_rows.cuh>
#include <forward/scores.cuh>
#include <selection/selection.cuh>

namespace attnexport {

template <class Variant, class T, class Config>
class SelectBlock : public BlockRows<Variant, T, Config> {
    using Rows = BlockRows<Variant, T, Config>;
    static constexpr int kWidth = Config::kWidth, kCols = Config::kCols, kRows = Config::kRows;
    static constexpr uint32_t kQueryBytes = Tile<T, kRows, kWidth>::kElements * sizeof(T);
    static constexpr uint32_t kTileBytes = Tile<T, kCols, kWidth>::kElements * sizeof(T);
    static_assert(Config::kRowTiles == 1, "a lane holds two rows");

  public:
    static constexpr size_t shared_bytes =
        kQueryBytes + 2 * kTileBytes + 2 * kCols * sizeof(float) + kBoundsScratch * sizeof(int);

    // Loads the queries; every thread of the block makes one.
    __device__ __forceinline__ explicit SelectBlock(const ParamsOf<Variant, T> &p)
        : Rows(p),
          first_row(static_cast<int64_t>(blockIdx.y) * Rows::total + Rows::first),
          walk(p.shape, Rows::near, load_queries(p), Rows::first, kRows, kCols, p.splits),
          norms_(Variant::kKeyNorms ? p.key_norms + static_cast<int64_t>(blockIdx.y) * p.shape.keys : nullptr),
          present_(present_keys(p.shape, Rows::batch)),
          keys_(p.k + static_cast<int64_t>(blockIdx.y) * p.shape.keys * p.shape.width, p.shape.width) {
        Rows::read(p);
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

    __device__ __forceinline__ void scores(typename Config::Scores &out, int stage) const {
        tile_scores<Variant, T, Config>(out, Rows::state, tile_norms() + stage * kCols,
                                        shared_address(dynamic_shared()), tiles() + stage * kTileBytes,
                                        Rows::warp_row());
    }

    const int64_t first_row;  // among the rows of all pairs
    const TileWalk<Variant::kNear> walk;

  private:
    static __device__ __forceinline__ uint32_t tiles() { return shared_address(dynamic_shared()) + kQueryBytes; }

    static __device__ __forceinline__ float *tile_norms() {
        return reinterpret_cast<float *>(dynamic_shared() + kQueryBytes + 2 * kTileBytes);
    }

    __device__ __forceinline__ BlockBounds load_queries(const ParamsOf<Variant, T> &p) const {
        const T *q = p.q + static_cast<int64_t>(blockIdx.y) * Rows::total * p.shape.width;
        TileLoader<T, kRows, kWidth, Config::kThreads>(q, p.shape.width)
            .load(shared_address(dynamic_shared()), Rows::first, Rows::total);
        commit_copies();
        int *scratch = reinterpret_cast<int *>(tile_norms() + 2 * kCols);
        return block_bounds<kRows, Config::kThreads>(p.shape, Rows::near, Rows::batch, Rows::first, scratch);
    }

    const float *norms_;
    const int present_;
    const TileLoader<T, kCols, kWidth, Config::kThreads> keys_;
};

}  // namespace attnexport
