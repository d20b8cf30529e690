// The warps that fill shared memory: one copies queries, keys and values, one writes the biases of keys.
#pragma once

#include <sm90/row_tiles.cuh>

namespace attnexport::sm90 {

// The tensors as the copy unit sees them: boxes of 64 columns by 64 queries, or by kCols keys.
struct Sources {
    const CUtensorMap &q, &k, &v;
};

template <class C>
__device__ __forceinline__ void copy_tile(const CUtensorMap &map, uint32_t to, int rows, uint32_t barrier, int row,
                                          int pair) {
    arrive_expecting(barrier, C::kHalves * rows * 128);
#pragma unroll
    for (int half = 0; half < C::kHalves; ++half) copy_box(to + half * rows * 128, map, barrier, half * 64, row, pair);
}

// Zeros in rows `first` .. of a tile of values: a cache may hold NaN beyond the length, and a weight of zero keeps it
// NaN.
template <class C>
__device__ __forceinline__ void clear_rows(unsigned char *values, int first) {
    const int pieces = (C::kCols - first) * 8;
#pragma unroll 1
    for (int at = threadIdx.x % 32; at < C::kHalves * pieces; at += 32) {
        const int half = at / pieces, piece = at % pieces;
        reinterpret_cast<uint4 *>(values + half * C::kCols * 128)[first * 8 + piece] = make_uint4(0, 0, 0, 0);
    }
    fence_async();
    __syncwarp();
}

// Fills the ring; by one warp, whose first lane asks for the copies. kSums: where rows differ, the values of their last
// keys follow the tiles of keys.
template <class C, bool kSums>
class Producer {
  public:
    __device__ __forceinline__ Producer(const Shape &s, const Sources &from, unsigned char *memory,
                                        const Barriers<C> &barriers)
        : s_(s), from_(from), memory_(memory), shared_(shared_address(memory)), barriers_(barriers) {}

    __device__ __forceinline__ void take(const RowTile &tile) {
        for (int consumer = 0; consumer < C::kConsumers; ++consumer) {
            wait(barriers_.queries_empty(consumer), query_parity_);
            if (leads())
                copy_tile<C>(from_.q, shared_ + C::kQueries + consumer * C::kRowsBytes, 64,
                             barriers_.queries_full(consumer), tile.first + consumer * 64, tile.pair);
        }
        query_parity_ ^= 1;
        const int present = present_keys(s_, tile.batch);
        for (int step = tile.end - 1; step >= tile.begin; --step, ring_.advance()) {
            wait(barriers_.keys_empty(ring_.stage), ring_.parity ^ 1);
            if (leads())
                copy_tile<C>(from_.k, shared_ + C::kKeys + place(), C::kCols, barriers_.keys_full(ring_.stage),
                             step * C::kCols, tile.kv_pair);
            wait(barriers_.values_empty(ring_.stage), ring_.parity ^ 1);
            give_values(C::kValues + place(), barriers_.values_full(ring_.stage), step * C::kCols, tile.kv_pair,
                        present);
            __syncwarp();
        }
        if (kSums && s_.rows_differ()) give_last_values(tile, present);
    }

  private:
    static __device__ __forceinline__ bool leads() { return threadIdx.x % 32 == 0; }
    __device__ __forceinline__ uint32_t place() const { return ring_.stage * C::kTileBytes; }

    // kCols values from `key` on, zeros from `present` on.
    __device__ __forceinline__ void give_values(uint32_t to, uint32_t full, int key, int kv_pair, int present) {
        const bool cut = present < s_.keys && key + C::kCols > present;
        if (leads())
            copy_tile<C>(from_.v, shared_ + to, C::kCols, cut ? barriers_.values_landed() : full, key, kv_pair);
        if (!cut) return;
        wait(barriers_.values_landed(), landed_parity_);
        landed_parity_ ^= 1;
        clear_rows<C>(memory_ + to, max(0, present - key));
        if (leads()) arrive(full);
    }

    // Values from tile.counted on, as far as rows see them: in the place of values, then in that of keys.
    __device__ __forceinline__ void give_last_values(const RowTile &tile, int present) {
        const int more = tile.counted + C::kCols, keys_full = barriers_.keys_full(ring_.stage);
        wait(barriers_.values_empty(ring_.stage), ring_.parity ^ 1);
        give_values(C::kValues + place(), barriers_.values_full(ring_.stage), min(tile.counted, s_.keys - 1),
                    tile.kv_pair, present);
        wait(barriers_.keys_empty(ring_.stage), ring_.parity ^ 1);
        if (more < tile.seen)
            give_values(C::kKeys + place(), keys_full, more, tile.kv_pair, present);
        else if (leads())
            arrive(keys_full);
        __syncwarp();
        ring_.advance();
    }

    const Shape &s_;
    const Sources &from_;
    unsigned char *const memory_;
    const uint32_t shared_;
    const Barriers<C> &barriers_;
    Ring<C::kStages> ring_;
    int query_parity_ = 1, landed_parity_ = 0;
};

// Pieces of bf16 whose sum is a float to the last bit or two.
struct Pieces {
    uint32_t first, rest;

    __device__ __forceinline__ explicit Pieces(float x) {
        using M = Mma<__nv_bfloat16>;
        const float high = widen(narrow<__nv_bfloat16>(x));
        const float below = isinf(high) ? 0.f : x - high, middle = widen(narrow<__nv_bfloat16>(below));
        first = M::pack(high, middle);
        rest = M::pack(below - middle, 0.f);
    }
};

// The right operand of a product of depth 16 that adds a bias to every key's scores: three pieces of the bias a key,
// which 64 rows of three ones multiply. Columns 3 to 15 are zero. By one warp.
template <class C>
__device__ __forceinline__ void produce_biases(const Shape &s, const Neighbourhood &near, const Tiles &tiles,
                                               const float *norms, unsigned char *memory, const Barriers<C> &barriers) {
    constexpr int kOwn = C::kCols / 32;
    const int lane = threadIdx.x % 32;
    wait_for_previous();
    Ring<C::kStages> ring;
    for_row_tiles<C>(s, near, tiles, [&](const RowTile &tile) {
        const float *of_pair = norms + static_cast<int64_t>(tile.kv_pair) * s.keys;
        for (int step = tile.end - 1; step >= tile.begin; --step, ring.advance()) {
            float norm[kOwn];
#pragma unroll
            for (int own = 0; own < kOwn; ++own)
                norm[own] = of_pair[min(step * C::kCols + own * 32 + lane, s.keys - 1)];
            wait(barriers.keys_empty(ring.stage), ring.parity ^ 1);
            uint4 *to = reinterpret_cast<uint4 *>(memory + C::kBias + ring.stage * C::kBiasBytes);
#pragma unroll
            for (int own = 0; own < kOwn; ++own) {
                const Pieces pieces(norm[own]);
                to[own * 32 + lane] = make_uint4(pieces.first, pieces.rest, 0, 0);
            }
            fence_async();
            __syncwarp();
            if (lane == 0) arrive(barriers.keys_full(ring.stage));
        }
    });
}

// The columns 8 to 15 of all stages, and the ones; by all threads, before the barrier that opens the block.
template <class C>
__device__ __forceinline__ void prepare_biases(unsigned char *memory) {
    if (!C::kBiases) return;
    const uint4 zeros = make_uint4(0, 0, 0, 0);
    for (int at = threadIdx.x; at < C::kStages * C::kCols; at += C::kThreads)
        reinterpret_cast<uint4 *>(memory + C::kBias + at / C::kCols * C::kBiasBytes)[C::kCols + at % C::kCols] = zeros;
    using M = Mma<__nv_bfloat16>;
    uint4 *ones = reinterpret_cast<uint4 *>(memory + C::kOnes);
    if (threadIdx.x < 64) ones[threadIdx.x] = make_uint4(M::pack(1.f, 1.f), M::pack(1.f, 0.f), 0, 0);
    if (threadIdx.x >= 64 && threadIdx.x < 128) ones[threadIdx.x] = zeros;
    fence_async();
}

}  // namespace attnexport::sm90
