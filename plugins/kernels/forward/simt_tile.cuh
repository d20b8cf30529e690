// Scores of a tile in float without tensor cores: for float inputs, for widths that are no multiple of 8, for old
// parts.
#pragma once

#include <forward/mma.cuh>
#include <forward/params.cuh>
#include <forward/tile_walk.cuh>

namespace attnexport {

// 128 threads, 16 along the rows and 8 along the keys; a thread holds kOwnRows x 4 scores.
template <int kWidth_, int kOwnRows_>
struct SimtConfig {
    static constexpr int kWidth = kWidth_, kOwnRows = kOwnRows_, kOwnCols = 4;
    static constexpr int kRowThreads = 16, kColThreads = 8, kThreads = kRowThreads * kColThreads;
    static constexpr int kRows = kOwnRows * kRowThreads, kCols = kOwnCols * kColThreads;
    static constexpr int kStride = kWidth + 4;  // eight rows at one column lie in different banks

    // Own row r is row thread_row() + r * 16 of the block, own column c is column thread_column() + c * 8 of the tile.
    static __device__ __forceinline__ int thread_row() { return threadIdx.x / kColThreads; }
    static __device__ __forceinline__ int thread_column() { return threadIdx.x % kColThreads; }
};

// Rows first .. first + rows - 1 of a matrix as floats times `sign`, zeros beyond `limit` rows and beyond the width.
template <class Config, class T>
__device__ __forceinline__ void load_floats(float *to, const T *from, int rows, int width, int first, int limit,
                                            float sign = 1.f) {
    for (int at = threadIdx.x; at < rows * Config::kWidth; at += Config::kThreads) {
        const int row = at / Config::kWidth, column = at % Config::kWidth;
        const bool inside = first + row < limit && column < width;
        to[row * Config::kStride + column] =
            inside ? sign * widen(from[static_cast<int64_t>(first + row) * width + column]) : 0.f;
    }
}

template <class Variant, class Config>
__device__ __forceinline__ void simt_scores(float (&scores)[Config::kOwnRows][Config::kOwnCols],
                                            const typename Variant::Row (&rows)[Config::kOwnRows],
                                            const float (&norms)[Config::kOwnCols], const float *q, const float *k) {
#pragma unroll
    for (int r = 0; r < Config::kOwnRows; ++r)
#pragma unroll
        for (int c = 0; c < Config::kOwnCols; ++c) scores[r][c] = 0.f;
    const float *q_row = q + Config::thread_row() * Config::kStride;
    const float *k_row = k + Config::thread_column() * Config::kStride;
    // 32 products make a sum of their own: fewer roundings at the size of the whole sum.
    constexpr int kPart = 32;
    for (int start = 0; start < Config::kWidth; start += kPart) {
        float part[Config::kOwnRows][Config::kOwnCols] = {};
#pragma unroll 4
        for (int depth = start; depth < start + kPart; depth += 4) {
            float4 left[Config::kOwnRows], right[Config::kOwnCols];
#pragma unroll
            for (int r = 0; r < Config::kOwnRows; ++r)
                left[r] = *reinterpret_cast<const float4 *>(q_row + r * Config::kRowThreads * Config::kStride + depth);
#pragma unroll
            for (int c = 0; c < Config::kOwnCols; ++c)
                right[c] = *reinterpret_cast<const float4 *>(k_row + c * Config::kColThreads * Config::kStride + depth);
#pragma unroll
            for (int r = 0; r < Config::kOwnRows; ++r)
#pragma unroll
                for (int c = 0; c < Config::kOwnCols; ++c) {
                    part[r][c] = fmaf(left[r].x, right[c].x, part[r][c]);
                    part[r][c] = fmaf(left[r].y, right[c].y, part[r][c]);
                    part[r][c] = fmaf(left[r].z, right[c].z, part[r][c]);
                    part[r][c] = fmaf(left[r].w, right[c].w, part[r][c]);
                }
        }
#pragma unroll
        for (int r = 0; r < Config::kOwnRows; ++r)
#pragma unroll
            for (int c = 0; c < Config::kOwnCols; ++c) scores[r][c] += part[r][c];
    }
#pragma unroll
    for (int r = 0; r < Config::kOwnRows; ++r)
#pragma unroll
        for (int c = 0; c < Config::kOwnCols; ++c)
            scores[r][c] = Variant::score(scores[r][c] + Variant::initial(norms[c], rows[r]), rows[r]);
}

// What a block of either SIMT kernel knows of its rows.
template <class Variant, class T, class Config>
struct SimtBlock {
    const ParamsOf<Variant, T> &p;
    Neighbourhood near;
    int total, first, batch;
    int64_t pair;
    typename Variant::Row rows[Config::kOwnRows];
    KeyRange seen[Config::kOwnRows];

    __device__ __forceinline__ explicit SimtBlock(const ParamsOf<Variant, T> &params)
        : p(params), near(neighbourhood_of<Variant>(params)) {
        const Shape &shape = p.shape;
        const int group = shape.heads / shape.kv_heads, kv_head = blockIdx.y % shape.kv_heads;
        total = shape.group_rows();
        first = (gridDim.x - 1 - blockIdx.x) * Config::kRows;
        batch = blockIdx.y / shape.kv_heads;
        pair = blockIdx.y;
#pragma unroll
        for (int r = 0; r < Config::kOwnRows; ++r) {
            const int row = first + local_row(r);
            const bool exists = row < total;
            const int i = exists ? row % shape.rows : 0, head = kv_head * group + (exists ? row / shape.rows : 0);
            seen[r] = exists ? visible_keys(shape, near, batch, i) : KeyRange{0, 0};
            rows[r] = Variant::row(p.row_params, shape, batch, head, i);
        }
    }

    static __device__ __forceinline__ int local_row(int r) { return Config::thread_row() + r * Config::kRowThreads; }

    __device__ __forceinline__ bool sees(int r, int key) const {
        if (key < seen[r].low || key >= seen[r].high) return false;
        if (near.grid_width == 0) return true;
        const int i = (first + local_row(r)) % p.shape.rows;
        return grid_sees(near, i, cell_of(near, i), key);
    }

    __device__ __forceinline__ void load_queries(float *q_tile) const {
        const float sign = Variant::negates_queries(p.row_params) ? -1.f : 1.f;
        load_floats<Config>(q_tile, p.q + pair * total * p.shape.width, Config::kRows, p.shape.width, first, total,
                            sign);
    }

    __device__ __forceinline__ void load_keys(float *k_tile, int tile) const {
        load_floats<Config>(k_tile, p.k + pair * p.shape.keys * p.shape.width, Config::kCols, p.shape.width,
                            tile * Config::kCols, present_keys(p.shape, batch));
    }

    __device__ __forceinline__ void scores(float (&out)[Config::kOwnRows][Config::kOwnCols], const float *q_tile,
                                           const float *k_tile, int tile) const {
        float norms[Config::kOwnCols];
        const int present = present_keys(p.shape, batch);
#pragma unroll
        for (int c = 0; c < Config::kOwnCols; ++c) {
            const int key = tile * Config::kCols + Config::thread_column() + c * Config::kColThreads;
            norms[c] = Variant::kKeyNorms && key < present ? p.key_norms[pair * p.shape.keys + key] : 0.f;
        }
        simt_scores<Variant, Config>(out, rows, norms, q_tile, k_tile);
    }
};

}  // namespace attnexport
