// Sizes of a block of the forward kernel, its shared memory and its barriers.
#pragma once

#include "ptx.cuh"

namespace attnexport::hopper {

// How minus half the squared norm of a key comes to its scores: not at all, added to each, or as a product of depth 16.
enum class Bias { kNone, kAdded, kMultiplied };

// kConsumers warpgroups of 64 rows; kStages tiles of kCols keys and of values in flight. With kInTurn the warpgroups
// issue their products one after another, so that one weighs while another multiplies. kPolynomials of eight weights
// are polynomials, the others take the special function unit.
template <int kWidth_, int kConsumers_, int kStages_, bool kInTurn_, int kPolynomials_ = 0, Bias kBias_ = Bias::kNone>
struct Config {
    static constexpr int kWidth = kWidth_, kConsumers = kConsumers_, kStages = kStages_, kCols = 128;
    static constexpr bool kInTurn = kInTurn_;
    static constexpr int kPolynomials = kPolynomials_;
    static constexpr Bias kBias = kBias_;
    static constexpr int kRows = 64 * kConsumers, kThreads = 128 * (kConsumers + 1), kHalves = kWidth / 64;
    static constexpr int kProducerRegisters = kConsumers == 3 ? 32 : 24,
                         kConsumerRegisters = kConsumers == 3 ? 160 : 240;
    static constexpr uint32_t kRowsBytes = 64 * kWidth * 2,
                              kTileBytes = kCols * kWidth * 2;  // of a warpgroup; of a stage
    static constexpr uint32_t kQueries = 0, kOutputs = kQueries + kConsumers * kRowsBytes;
    static constexpr uint32_t kKeys = kOutputs + kConsumers * kRowsBytes, kValues = kKeys + kStages * kTileBytes;
    static constexpr uint32_t kBiasBytes = kBias == Bias::kNone ? 0 : kBias == Bias::kAdded ? kCols * 4 : kCols * 32;
    static constexpr uint32_t kOnesBytes = kBias == Bias::kMultiplied ? 64 * 32 : 0;
    static constexpr uint32_t kBiases = kValues + kStages * kTileBytes, kOnes = kBiases + kStages * kBiasBytes;
    static constexpr uint32_t kBarriers = kOnes + kOnesBytes;
    static constexpr uint32_t kSharedBytes =
        kBarriers + 8 * (2 * kConsumers + 4 * kStages) + 1024;  // and its alignment
};

struct Params {
    int rows, keys, tiles, pairs, group;  // tiles of a pair's rows; query heads that share a key head
    float scale;                          // times log2(e), positive
    const void *alpha, *beta;             // (pairs, rows), without a bias
    const float *value_sums;              // (pairs of key heads, width), without a bias
    const void *biases;                   // (pairs of key heads, steps) of kBiasBytes
};

// The barriers of a block: a pair for each warpgroup's queries and for each stage of keys and values.
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

    __device__ __forceinline__ void init() const {
        for (int consumer = 0; consumer < C::kConsumers; ++consumer) {
            init_barrier(queries_full(consumer), 1);
            init_barrier(queries_empty(consumer), 4);
        }
        for (int stage = 0; stage < C::kStages; ++stage) {
            init_barrier(keys_full(stage), 1);
            init_barrier(values_full(stage), 1);
            init_barrier(keys_empty(stage), 4 * C::kConsumers);
            init_barrier(values_empty(stage), 4 * C::kConsumers);
        }
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

}  // namespace attnexport::hopper
