// The rows of a warpgroup that selects by lists, and the scores of their tiles of keys.
#pragma once

#include <forward/tile_sizes.cuh>
#include <selection/select_block.cuh>
#include <sm90/head_rows.cuh>
#include <sm90/list_layout.cuh>
#include <sm90/row_tiles.cuh>

namespace attnexport::sm90 {

// What RowsByLists asks of a block. A tile is a part of C::kPart keys of a step.
template <class Variant, class T, class C>
class ListBlock : public HeadRows<Variant, T> {
    using Rows = HeadRows<Variant, T>;
    using Scores = typename ListedRows<C::kWidth, C::kWarps>::Scores;
    static_assert(!Variant::kKeyNorms, "nothing is added to the products");
    static_assert(C::kCols == 2 * C::kPart && C::kPart == ListedRows<C::kWidth, C::kWarps>::kCols);

  public:
    static constexpr int kTilesAtOnce = 2;

    __device__ __forceinline__ ListBlock(const ParamsOf<Variant, T> &p, const RowTile &tile, uint32_t shared,
                                         Ring<C::kStages> &ring)
        : Rows(p, tile.pair, tile.first), begin_(tile.begin), end_(tile.end), shared_(shared), ring_(ring) {}

    static __device__ __forceinline__ int key_at(int tile, int n, int e) {
        return tile * C::kPart + n * 8 + threadIdx.x % 4 * 2 + e % 2;
    }

    static __device__ __forceinline__ bool has_grid() { return false; }

    __device__ __forceinline__ bool cuts(int tile) const {
        return Rows::warp_range.cuts(tile * C::kPart, (tile + 1) * C::kPart);
    }

    __device__ __forceinline__ KeptKey *kept_keys() const {
        unsigned char *memory = dynamic_shared();
        return reinterpret_cast<KeptKey *>(memory + (shared_ - shared_address(memory)) + C::kKept);
    }

    // Calls before(), then f(scores, tile, part), for the two parts of every step that a row of the warp sees.
    // The tensor cores multiply the second part while f has the first, unless f holds most registers.
    template <Registers kRegisters, class Before, class F>
    __device__ __forceinline__ void for_each_scores(Before before, F f) const {
        constexpr bool kAhead = kRegisters == Registers::kFree;
#pragma unroll 1
        for (int step = begin_; step < end_; ++step, ring_.advance()) {
            before();
            Scores one, other;
            wait(barriers().keys_full(ring_.stage), ring_.parity);
            multiply(accumulators(one), 0);
            if (kAhead) multiply(accumulators(other), 1);
            wait_for_products<kAhead ? 1 : 0>();
            pin(accumulators(one));
            give(one, step * 2, 0, f);
            if (!kAhead) multiply(accumulators(other), 1);
            wait_for_products<0>();
            pin(accumulators(other));
            give(other, step * 2 + 1, 1, f);
            if (threadIdx.x % 32 == 0) arrive(barriers().keys_empty(ring_.stage));
        }
    }

  private:
    using Accumulators = float[C::kPart / 2];

    static __device__ __forceinline__ Accumulators &accumulators(Scores &scores) {
        return reinterpret_cast<Accumulators &>(scores);
    }

    __device__ __forceinline__ ListBarriers<C> barriers() const { return ListBarriers<C>{shared_ + C::kBarriers}; }

    // Of the warpgroup's rows and a part of the stage's keys.
    __device__ __forceinline__ void multiply(Accumulators &scores, int part) const {
        const auto queries = matrix(shared_ + C::kQueries + (threadIdx.x / 128 - 1) * C::kRowsBytes);
        const auto keys = matrix(shared_ + C::kKeys + ring_.stage * C::kTileBytes + part * C::kPart * 128);
        pin(scores);
        begin_products();
#pragma unroll
        for (int depth = 0; depth < C::kWidth / 16; ++depth) {
            const uint32_t half = depth / 4, inside = depth % 4 * 32;
            Wgmma<T>::multiply_shared(scores, moved(queries, half * 64 * 128 + inside),
                                      moved(keys, half * C::kCols * 128 + inside), depth > 0);
        }
        commit_products();
    }

    template <class F>
    __device__ __forceinline__ void give(Scores &scores, int tile, int part, F f) const {
        if (Rows::warp_range.excludes(tile * C::kPart, (tile + 1) * C::kPart)) return;
#pragma unroll
        for (int n = 0; n < C::kPart / 8; ++n)
#pragma unroll
            for (int e = 0; e < 4; ++e) scores[0][n].x[e] = Variant::score(scores[0][n].x[e], Rows::state[0][e / 2]);
        f(scores, tile, part);
    }

    const int begin_, end_;  // steps
    const uint32_t shared_;
    Ring<C::kStages> &ring_;
};

}  // namespace attnexport::sm90
