// What a block of either tensor-core selection knows of its rows, and its way over the tiles of keys.
#pragma once

#include <forward/block_rows.cuh>
#include <forward/scores.cuh>
#include <selection/candidates.cuh>

namespace attnexport {

// Whether what is given scores holds most of a thread's registers.
enum class Registers { kFree, kTaken };

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

    static constexpr int kTilesAtOnce = 1;

    // Loads the queries; every thread of the block makes one.
    __device__ __forceinline__ explicit SelectBlock(const ParamsOf<Variant, T> &p) : SelectBlock(p, Rows(p)) {}

    // The same for these rows.
    __device__ __forceinline__ SelectBlock(const ParamsOf<Variant, T> &p, const Rows &rows)
        : Rows(rows),
          walk(p.shape, Rows::near, load_queries(p), Rows::first, kRows, kCols, p.splits),
          norms_(Variant::kKeyNorms && p.key_norms != nullptr ? p.key_norms + pair_keys(p) : nullptr),
          present_(present_keys(p.shape, Rows::batch)),
          keys_(p.k + pair_keys(p) * p.shape.width, p.shape.width) {
        Rows::read(p);
    }

    // Among the rows of all pairs.
    __device__ __forceinline__ int64_t first_row() const {
        return static_cast<int64_t>(Rows::pair) * Rows::total + Rows::first;
    }

    __device__ __forceinline__ bool has_grid() const { return Rows::near.grid_width > 0; }

    // Where the rows' kept keys go when the tiles are done with.
    static __device__ __forceinline__ KeptKey *kept_keys() { return reinterpret_cast<KeptKey *>(dynamic_shared()); }

    // Shared memory behind the block's own.
    static __device__ __forceinline__ unsigned char *rest() { return dynamic_shared() + shared_bytes; }

    __device__ __forceinline__ void load_tile(int tile, int stage) const {
        const int begin = tile * kCols;
        keys_.load(tiles() + stage * kTileBytes, begin, present_);
        if (Variant::kKeyNorms && norms_ != nullptr)
            load_norms<kCols, Config::kThreads>(tile_norms() + stage * kCols, norms_, begin, present_);
        commit_copies();
    }

    // By the block's one warp, where nobody wrote them before.
    __device__ __forceinline__ void compute_norms(int stage) const {
        static_assert(Config::kOneWarp, "written without a barrier");
        if (!Variant::kKeyNorms || norms_ != nullptr) return;
        attnexport::tile_norms<T, kCols, kWidth>(tile_norms() + stage * kCols,
                                                 dynamic_shared() + kQueryBytes + stage * kTileBytes);
        __syncwarp();
    }

    // Calls f(tile, stage) for every tile that a row of the warp sees. All threads of the block call this; it ends with
    // a barrier.
    template <class F>
    __device__ __forceinline__ void for_each_tile(F f) const {
        int tile = walk.first();
        if (tile < walk.end()) load_tile(tile, 0);
        for (int stage = 0, next; tile < walk.end(); tile = next, stage ^= 1) {
            wait_for_copies<0>();
            __syncthreads();
            next = walk.after(tile);
            if (next < walk.end()) load_tile(next, stage ^ 1);
            if (!Rows::excludes(tile)) f(tile, stage);
        }
        wait_for_copies<0>();
        __syncthreads();
    }

    // Calls before(), then f(scores, tile, part), for each of these tiles. They are part 0 and 1 in turn.
    template <Registers, class Before, class F>
    __device__ __forceinline__ void for_each_scores(Before before, F f) const {
        for_each_tile([&](int tile, int stage) {
            before();
            typename Config::Scores of_tile;
            scores(of_tile, stage);
            f(of_tile, tile, stage);
        });
    }

    // The same with one tile of keys, for weigh(scores, tile), and one of values, for multiply(scores, values).
    template <class Weigh, class Multiply>
    __device__ __forceinline__ void for_each_key_and_value(const ParamsOf<Variant, T> &p, Weigh weigh,
                                                           Multiply multiply) const {
        const uint32_t values = tiles() + kTileBytes;
        const TileLoader<T, kCols, kWidth, Config::kThreads> value_loader(p.v + pair_keys(p) * p.shape.value_width,
                                                                          p.shape.value_width);
        int tile = walk.first();
        if (tile < walk.end()) load_tile(tile, 0);
        for (int next; tile < walk.end(); tile = next) {
            // Publishes the keys and frees the place of the values; the other way round below.
            wait_for_copies<0>();
            __syncthreads();
            next = walk.after(tile);
            value_loader.load(values, tile * kCols, present_);
            commit_copies();
            const bool excluded = Rows::excludes(tile);
            typename Config::Scores scores;
            if (!excluded) weigh(scores, tile);
            wait_for_copies<0>();
            __syncthreads();
            if (next < walk.end()) load_tile(next, 0);
            if (!excluded) multiply(scores, values);
        }
        wait_for_copies<0>();
        __syncthreads();
    }

    __device__ __forceinline__ void scores(typename Config::Scores &out, int stage) const {
        tile_scores<Variant, T, Config>(out, Rows::state, tile_norms() + stage * kCols,
                                        shared_address(dynamic_shared()), tiles() + stage * kTileBytes,
                                        Rows::warp_row());
    }

    const TileWalk<Variant::kNear> walk;

  private:
    __device__ __forceinline__ int64_t pair_keys(const ParamsOf<Variant, T> &p) const {
        return static_cast<int64_t>(Rows::pair) * p.shape.keys;
    }

    static __device__ __forceinline__ uint32_t tiles() { return shared_address(dynamic_shared()) + kQueryBytes; }

    static __device__ __forceinline__ float *tile_norms() {
        return reinterpret_cast<float *>(dynamic_shared() + kQueryBytes + 2 * kTileBytes);
    }

    __device__ __forceinline__ BlockBounds load_queries(const ParamsOf<Variant, T> &p) const {
        const T *q = p.q + static_cast<int64_t>(Rows::pair) * Rows::total * p.shape.width;
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
