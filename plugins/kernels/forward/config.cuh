// Sizes of one instantiation of the tensor-core kernels.
#pragma once

#include <forward/mma.cuh>
#include <forward/tile.cuh>
#include <forward/tile_walk.cuh>

namespace attnexport {

// A block of kWarps warps, each with kRowTiles tiles of 16 query rows, and tiles of kCols keys. One or two tiles of
// keys and of values lie in shared memory; with one of each the values of a tile arrive while its scores are computed,
// and the next keys while its values are summed.
template <int kWidth_, int kRowTiles_, int kWarps_, int kCols_, int kStages_ = 2>
struct ForwardConfig {
    static constexpr int kWidth = kWidth_, kRowTiles = kRowTiles_, kWarps = kWarps_, kCols = kCols_, kStages = kStages_;
    static constexpr int kThreads = kWarps * 32;
    static_assert(kStages == 1 || kStages == 2);
    static constexpr int kRows = kWarps * kRowTiles * 16;
    static constexpr bool kOneWarp = kWarps == 1 && kRowTiles == 1;

    using Scores = Accumulator[kRowTiles][kCols / 8];
    using Output = Accumulator[kRowTiles][kWidth / 8];

    template <class T>
    static constexpr size_t shared_bytes() {
        return sizeof(T) * (Tile<T, kRows, kWidth>::kElements + 2 * kStages * Tile<T, kCols, kWidth>::kElements) +
               kStages * kCols * sizeof(float) + kBoundsScratch * sizeof(int);
    }
};

}  // namespace attnexport
