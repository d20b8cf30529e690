// What a block writes when its rows have seen all keys: the result, or a part of it where the keys are split over
// blocks.
#pragma once

#include <forward/params.cuh>
#include <forward/softmax.cuh>
#include <forward/value_sums.cuh>

namespace attnexport {

// Column of the first of a thread's two elements in the n-th accumulator.
__device__ __forceinline__ int column_at(int n) { return n * 8 + (threadIdx.x % 4) * 2; }

// The free last row of a tile of few rows gathers the sum of the visible values.
template <class Variant, class T, class Config>
__device__ __forceinline__ bool gathers_values(const ParamsOf<Variant, T> &p) {
    return Config::kOneWarp && Variant::kAdds && p.splits > 1 && p.values_before == nullptr &&
           threadIdx.x % 32 / 4 == 7;
}

// Weights of one for that row.
template <class Config>
__device__ __forceinline__ void weigh_values(typename Config::Scores &weights, const RangeBounds &seen, int tile) {
#pragma unroll
    for (int n = 0; n < Config::kCols / 8; ++n)
#pragma unroll
        for (int e = 2; e < 4; ++e) {
            const int key = tile * Config::kCols + column_at(n) + e % 2;
            weights[0][n].x[e] = key >= seen.low_min && key < seen.high_max ? 1.f : 0.f;
        }
}

template <class Variant, class T, class Config>
__device__ __forceinline__ void write_value_sums(const ParamsOf<Variant, T> &p, const typename Config::Output &out) {
    const int width = p.shape.value_width;
    float *sums = p.value_parts + (static_cast<int64_t>(blockIdx.z) * gridDim.y + blockIdx.y) * width;
#pragma unroll
    for (int n = 0; n < Config::kWidth / 8; ++n)
#pragma unroll
        for (int e = 2; e < 4; ++e)
            if (column_at(n) + e % 2 < width) sums[column_at(n) + e % 2] = out[0][n].x[e];
}

// The part of this block's split; `sums` are those of whole rows.
template <class Variant, class T, class Config>
__device__ __forceinline__ void write_parts(const ParamsOf<Variant, T> &p, const BlockRows<Variant, T, Config> &rows,
                                            const RunningSums<Variant, Config> &sums,
                                            const typename Config::Output &out) {
    if (gathers_values<Variant, T, Config>(p)) write_value_sums<Variant, T, Config>(p, out);
    const int width = p.shape.value_width;
#pragma unroll
    for (int m = 0; m < Config::kRowTiles; ++m)
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            if (!rows.exists(m, half)) continue;
            const int64_t part = static_cast<int64_t>(blockIdx.z) * gridDim.y + blockIdx.y;
            const int64_t at = part * rows.total + rows.row(m, half);
            if (threadIdx.x % 4 == 0)
                p.partial_states[at] = make_float2(sums.exponent(rows.state, m, half), sums.sum[m][half]);
#pragma unroll
            for (int n = 0; n < Config::kWidth / 8; ++n)
                if (column_at(n) < width)
                    *reinterpret_cast<float2 *>(p.partial_sums + at * width + column_at(n)) =
                        make_float2(out[m][n].x[half * 2], out[m][n].x[half * 2 + 1]);
        }
}

// From sums of weighted values to results, but for the values of the last keys.
template <class Variant, class T, class Config>
__device__ __forceinline__ void normalise_rows(const ParamsOf<Variant, T> &p, const BlockRows<Variant, T, Config> &rows,
                                               const RunningSums<Variant, Config> &sums, typename Config::Output &out) {
#pragma unroll
    for (int m = 0; m < Config::kRowTiles; ++m)
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const typename Variant::Row state = rows.state_of(p, m, half);
            const float factor = Variant::normalise(sums.sum[m][half], state);
            const float *before =
                Variant::kAdds ? values_before<Variant, T>(p, blockIdx.y, rows.seen[m][half].high) : nullptr;
#pragma unroll
            for (int n = 0; n < Config::kWidth / 8; ++n)
#pragma unroll
                for (int e = half * 2; e < half * 2 + 2; ++e) {
                    const int column = column_at(n) + e % 2;
                    out[m][n].x[e] *= factor;
                    if (Variant::kAdds && rows.exists(m, half) && column < p.shape.value_width)
                        out[m][n].x[e] += Variant::added(state) * before[column];
                }
        }
}

// A warp's rows into the place of its queries.
template <class Variant, class T, class Config>
__device__ __forceinline__ void stage_rows(const BlockRows<Variant, T, Config> &rows,
                                           const typename Config::Output &out, T *staged) {
#pragma unroll
    for (int m = 0; m < Config::kRowTiles; ++m)
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            T *row = staged + rows.local_row(m, half) * Tile<T, Config::kRows, Config::kWidth>::kStride;
#pragma unroll
            for (int n = 0; n < Config::kWidth / 8; ++n)
                *reinterpret_cast<uint32_t *>(row + column_at(n)) =
                    Mma<T>::pack(out[m][n].x[half * 2], out[m][n].x[half * 2 + 1]);
        }
}

// A warp's staged rows go out in pieces of 16 bytes.
template <class Variant, class T, class Config>
__device__ __forceinline__ void copy_rows_out(const ParamsOf<Variant, T> &p, const BlockRows<Variant, T, Config> &rows,
                                              const T *staged) {
    const int width = p.shape.value_width, pieces = width / 8, first = rows.first + rows.warp_row();
    T *out = p.out + static_cast<int64_t>(blockIdx.y) * rows.total * width;
    for (int piece = threadIdx.x % 32; piece < Config::kRowTiles * 16 * pieces; piece += 32) {
        const int row = piece / pieces, column = (piece % pieces) * 8;
        if (first + row >= rows.total) continue;
        const T *from = staged + (rows.warp_row() + row) * Tile<T, Config::kRows, Config::kWidth>::kStride + column;
        *reinterpret_cast<uint4 *>(out + static_cast<int64_t>(first + row) * width + column) =
            *reinterpret_cast<const uint4 *>(from);
    }
}

template <class Variant, class T, class Config>
__device__ __forceinline__ void finish_rows(const ParamsOf<Variant, T> &p, const BlockRows<Variant, T, Config> &rows,
                                            const BlockBounds &bounds, RunningSums<Variant, Config> &sums,
                                            typename Config::Output &out,
                                            const ForwardTiles<Variant, T, Config> &tiles) {
#pragma unroll
    for (int m = 0; m < Config::kRowTiles; ++m)
#pragma unroll
        for (int half = 0; half < 2; ++half) sums.sum[m][half] = quad_sum(sums.sum[m][half]);
    if (p.splits > 1) return write_parts(p, rows, sums, out);
    normalise_rows(p, rows, sums, out);
    if constexpr (Variant::kAdds) LastValues<Variant, T, Config>::add(out, p, tiles, rows, bounds);
    T *staged = reinterpret_cast<T *>(tiles.memory());
    stage_rows(rows, out, staged);
    __syncwarp();
    copy_rows_out(p, rows, staged);
}

}  // namespace attnexport
