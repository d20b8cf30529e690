// The tiles of a forward block in shared memory, and what fills them.
#pragma once

#include <forward/params.cuh>
#include <forward/scores.cuh>

namespace attnexport {

// Queries, then kStages tiles of keys, of values and of the keys' norms, then scratch for the bounds.
template <class Variant, class T, class Config>
class ForwardTiles {
    static constexpr int kWidth = Config::kWidth, kCols = Config::kCols, kThreads = Config::kThreads;
    static constexpr uint32_t kQueryBytes = Tile<T, Config::kRows, kWidth>::kElements * sizeof(T);
    static constexpr uint32_t kTileBytes = Tile<T, kCols, kWidth>::kElements * sizeof(T);
    static constexpr uint32_t kNorms = kQueryBytes + 2 * Config::kStages * kTileBytes;

  public:
    __device__ __forceinline__ explicit ForwardTiles(const ParamsOf<Variant, T> &p)
        : memory_(dynamic_shared()),
          queries_(shared_address(memory_)),
          present_(present_keys(p.shape, blockIdx.y / p.shape.kv_heads)),
          norms_(Variant::kKeyNorms && p.key_norms != nullptr ? p.key_norms + pair() * p.shape.keys : nullptr),
          key_loader_(p.k + pair() * p.shape.keys * p.shape.width, p.shape.width),
          value_loader_(p.v + pair() * p.shape.keys * p.shape.value_width, p.shape.value_width) {}

    __device__ __forceinline__ void load_queries(const ParamsOf<Variant, T> &p, int first, int total) const {
        const T *q = p.q + pair() * total * p.shape.width;
        TileLoader<T, Config::kRows, kWidth, kThreads>(q, p.shape.width).load(queries_, first, total);
        commit_copies();
    }

    // The next barrier publishes them.
    __device__ __forceinline__ void negate_queries() const {
        wait_for_copies<0>();
        __syncthreads();
        negate_tile<T, Config::kRows, kWidth, kThreads>(memory_);
    }

    // Keys beyond the length are read as zeros: a cache may hold NaN there.
    __device__ __forceinline__ void load_keys(int tile, int stage) const {
        key_loader_.load(keys(stage), tile * kCols, present_);
        if (Variant::kKeyNorms && norms_ != nullptr)
            load_norms<kCols, kThreads>(norms(stage), norms_, tile * kCols, present_);
    }

    __device__ __forceinline__ void load_values(int tile, int stage) const {
        value_loader_.load(values(stage), tile * kCols, present_);
    }

    // By the block's one warp, where nobody wrote them before.
    __device__ __forceinline__ void compute_norms(int stage) const {
        if (!Config::kOneWarp || !Variant::kKeyNorms || norms_ != nullptr) return;
        tile_norms<T, kCols, kWidth>(norms(stage), memory_ + (keys(stage) - queries_));
        __syncwarp();
    }

    __device__ __forceinline__ unsigned char *memory() const { return memory_; }
    __device__ __forceinline__ uint32_t queries() const { return queries_; }
    __device__ __forceinline__ uint32_t keys(int stage) const { return queries_ + kQueryBytes + stage * kTileBytes; }
    __device__ __forceinline__ uint32_t values(int stage) const { return keys(Config::kStages + stage); }

    __device__ __forceinline__ float *norms(int stage) const {
        return reinterpret_cast<float *>(memory_ + kNorms) + stage * kCols;
    }

    __device__ __forceinline__ int *scratch() const { return reinterpret_cast<int *>(norms(Config::kStages)); }

  private:
    static __device__ __forceinline__ int64_t pair() { return blockIdx.y; }

    unsigned char *const memory_;
    const uint32_t queries_;
    const int present_;
    const float *const norms_;
    const TileLoader<T, kCols, kWidth, kThreads> key_loader_, value_loader_;
};

}  // namespace attnexport
