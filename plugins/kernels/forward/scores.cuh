// Scores of a tile of keys.
#pragma once

#include <forward/products.cuh>
#include <forward/variant.cuh>

namespace attnexport {

// Minus half the squared norms of a tile's keys, by one warp.
template <class T, int kCols, int kWidth>
__device__ __forceinline__ void tile_norms(float *norms, const unsigned char *k_tile) {
    for (int row = threadIdx.x % 32; row < kCols; row += 32) {
        const T *key = reinterpret_cast<const T *>(k_tile) + row * Tile<T, kCols, kWidth>::kStride;
        float sum = 0.f;
#pragma unroll 4
        for (int column = 0; column < kWidth; column += 8) {
            const uint4 piece = *reinterpret_cast<const uint4 *>(key + column);
            const T *values = reinterpret_cast<const T *>(&piece);
#pragma unroll
            for (int e = 0; e < 8; ++e) sum = fmaf(widen(values[e]), widen(values[e]), sum);
        }
        norms[row] = -0.5f * sum;
    }
}

// Scores of a warp's rows and one tile of keys. Two kernels that call this get the same bits.
template <class Variant, class T, class Config>
__device__ __forceinline__ void tile_scores(typename Config::Scores &scores,
                                            const typename Variant::Row (&rows)[Config::kRowTiles][2],
                                            const float *key_norms, uint32_t q_tile, uint32_t k_tile, int warp_row) {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int n = 0; n < Config::kCols / 8; ++n) {
        const int column = n * 8 + (lane % 4) * 2;
        float2 norm = make_float2(0.f, 0.f);
        if (Variant::kKeyNorms) norm = *reinterpret_cast<const float2 *>(key_norms + column);
#pragma unroll
        for (int m = 0; m < Config::kRowTiles; ++m)
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                scores[m][n].x[half * 2] = Variant::initial(norm.x, rows[m][half]);
                scores[m][n].x[half * 2 + 1] = Variant::initial(norm.y, rows[m][half]);
            }
    }
    multiply_keys<T, Config>(scores, q_tile, k_tile, warp_row);
#pragma unroll
    for (int n = 0; n < Config::kCols / 8; ++n)
#pragma unroll
        for (int m = 0; m < Config::kRowTiles; ++m)
#pragma unroll
            for (int e = 0; e < 4; ++e) scores[m][n].x[e] = Variant::score(scores[m][n].x[e], rows[m][e / 2]);
}

}  // namespace attnexport
