// Hides from a warp's rows the keys of a tile that they do not see.
#pragma once

#include <forward/block_rows.cuh>

namespace attnexport {

template <class Variant, class T, class Config>
__device__ __forceinline__ void hide_unseen(typename Config::Scores &scores, const BlockRows<Variant, T, Config> &rows,
                                            int tile) {
    if (!rows.cuts(tile)) return;
#pragma unroll
    for (int n = 0; n < Config::kCols / 8; ++n)
#pragma unroll
        for (int m = 0; m < Config::kRowTiles; ++m)
#pragma unroll
            for (int e = 0; e < 4; ++e)
                if (!rows.sees(m, e / 2, rows.key_at(tile, n, e))) scores[m][n].x[e] = Variant::kHidden;
}

// Gives the keys whose bit n * 4 + e of dropped[m] is set this score or weight.
template <class Config>
__device__ __forceinline__ void overwrite(typename Config::Scores &scores, const uint32_t (&dropped)[Config::kRowTiles],
                                          float with) {
#pragma unroll
    for (int n = 0; n < Config::kCols / 8; ++n)
#pragma unroll
        for (int m = 0; m < Config::kRowTiles; ++m)
#pragma unroll
            for (int e = 0; e < 4; ++e)
                if (dropped[m] >> (n * 4 + e) & 1) scores[m][n].x[e] = with;
}

}  // namespace attnexport
