// Sizes of a block of the Hopper kernel that selects by lists, its shared memory and its barriers.
#pragma once

#include <selection/row_lists.cuh>
#include <sm90/layout.cuh>

namespace attnexport::sm90 {

// Three warpgroups of 64 rows share the tiles of kCols keys, which they multiply in two parts; a warpgroup more has a
// warp that copies the tiles.
struct ListConfig {
    static constexpr int kWidth = 128, kConsumers = 3, kStages = 2, kCols = 128, kPart = 64;
    static constexpr int kRows = 64 * kConsumers, kThreads = 128 * (kConsumers + 1), kHalves = kWidth / 64;
    static constexpr int kWarps = 4 * kConsumers, kKeptOfWarp = 8 * kMostKept;
    static constexpr int kProducerRegisters = 32, kConsumerRegisters = 160;
    static constexpr uint32_t kRowsBytes = 64 * kWidth * 2, kTileBytes = kCols * kWidth * 2;
    static constexpr uint32_t kQueries = 0, kKeys = kQueries + kConsumers * kRowsBytes;
    static constexpr uint32_t kKept = kKeys + kStages * kTileBytes;
    static constexpr uint32_t kBarriers = kKept + kWarps * kKeptOfWarp * sizeof(KeptKey);
    static constexpr uint32_t kSharedBytes = kBarriers + 8 * (2 * kConsumers + 2 * kStages) + 1024;  // and alignment
    static_assert(kSharedBytes <= 227 * 1024);
};

template <class C>
struct ListBarriers {
    uint32_t base;

    __device__ __forceinline__ uint32_t queries_full(int consumer) const { return base + 16 * consumer; }
    __device__ __forceinline__ uint32_t queries_empty(int consumer) const { return queries_full(consumer) + 8; }
    __device__ __forceinline__ uint32_t keys_full(int stage) const { return queries_full(C::kConsumers + stage); }
    __device__ __forceinline__ uint32_t keys_empty(int stage) const { return keys_full(stage) + 8; }

    __device__ __forceinline__ void init() const {
        for (int consumer = 0; consumer < C::kConsumers; ++consumer) {
            init_barrier(queries_full(consumer), 1);
            init_barrier(queries_empty(consumer), 4);
        }
        for (int stage = 0; stage < C::kStages; ++stage) {
            init_barrier(keys_full(stage), 1);
            init_barrier(keys_empty(stage), C::kWarps);
        }
        fence_barriers();
    }
};

template <class Variant, class T>
struct ListCall {
    ParamsOf<Variant, T> forward;
    ListParams lists;
    Tiles tiles;
};

}  // namespace attnexport::sm90
