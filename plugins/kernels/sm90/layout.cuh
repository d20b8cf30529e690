// Sizes of a block of the Hopper forward kernel, its shared memory and its barriers.
#pragma once

#include <forward/params.cuh>
#include <sm90/ptx.cuh>

namespace attnexport::sm90 {

// kConsumers warpgroups of 64 rows; two tiles of kCols keys and of values in flight. A warpgroup more has a warp that
// copies tiles, and one that writes the biases of keys.
template <int kWidth_, int kConsumers_, bool kBiases_>
struct Config {
    static constexpr int kWidth = kWidth_, kConsumers = kConsumers_, kStages = 2, kCols = 128;
    static constexpr bool kBiases = kBiases_;
    static constexpr int kRows = 64 * kConsumers, kThreads = 128 * (kConsumers + 1), kHalves = kWidth / 64;
    static constexpr int kProducerRegisters = kConsumers == 3 ? 32 : 40,
                         kConsumerRegisters = kConsumers == 3 ? 160 : 232;
    static constexpr uint32_t kRowsBytes = 64 * kWidth * 2,
                              kTileBytes = kCols * kWidth * 2;  // of a warpgroup; of a stage
    static constexpr uint32_t kQueries = 0, kOutputs = kQueries + kConsumers * kRowsBytes;
    static constexpr uint32_t kKeys = kOutputs + kConsumers * kRowsBytes, kValues = kKeys + kStages * kTileBytes;
    static constexpr uint32_t kBiasBytes = kBiases ? kCols * 32 : 0, kOnesBytes = kBiases ? 64 * 32 : 0;
    static constexpr uint32_t kBias = kValues + kStages * kTileBytes, kOnes = kBias + kStages * kBiasBytes;
    static constexpr uint32_t kBarriers = kOnes + kOnesBytes;
    static constexpr uint32_t kSharedBytes =
        kBarriers + 8 * (2 * kConsumers + 4 * kStages + 1) + 1024;  // and its alignment
};

// The tiles of rows of a launch: pair by pair, or the last rows of all pairs first, where those take longest.
struct Tiles {
    int of_pair, pairs;
    bool longest_first;

    __host__ __device__ int count() const { return of_pair * pairs; }
};

template <class Variant, class T>
struct Params {
    ParamsOf<Variant, T> forward;
    Tiles tiles;
};

// The barriers of a block: a pair for each warpgroup's queries and for each stage of keys and values, and one for
// values that are changed before they are given on.
template <class C>
struct Barriers {
    uint32_t base;

    __device__ __forceinline__ uint32_t queries_full(int consumer) const { return base + 8 * consumer; }
    __device__ __forceinline__ uint32_t queries_empty(int consumer) const {
        return base + 8 * (C::kConsumers + consumer);
    }
    __device__ __forceinline__ uint32_t keys_full(int stage) const { return at(0, stage); }
    __device__ __forceinline__ uint32_t keys_empty(int stage) const { return at(1, stage); }
    __device__ __forceinline__ uint32_t values_full(int stage) const { return at(2, stage); }
    __device__ __forceinline__ uint32_t values_empty(int stage) const { return at(3, stage); }
    __device__ __forceinline__ uint32_t values_landed() const { return at(4, 0); }

    __device__ __forceinline__ void init() const {
        for (int consumer = 0; consumer < C::kConsumers; ++consumer) {
            init_barrier(queries_full(consumer), 1);
            init_barrier(queries_empty(consumer), 4);
        }
        for (int stage = 0; stage < C::kStages; ++stage) {
            init_barrier(keys_full(stage), C::kBiases ? 2 : 1);
            init_barrier(values_full(stage), 1);
            init_barrier(keys_empty(stage), 4 * C::kConsumers);
            init_barrier(values_empty(stage), 4 * C::kConsumers);
        }
        init_barrier(values_landed(), 1);
        fence_barriers();
    }

  private:
    __device__ __forceinline__ uint32_t at(int kind, int stage) const {
        return base + 8 * (2 * C::kConsumers + kind * C::kStages + stage);
    }
};

// A place in a ring of kStages and the parity of its round.
template <int kStages>
struct Ring {
    int stage = 0, parity = 0;

    __device__ __forceinline__ void advance() {
        if (++stage == kStages) {
            stage = 0;
            parity ^= 1;
        }
    }
};

}  // namespace attnexport::sm90
