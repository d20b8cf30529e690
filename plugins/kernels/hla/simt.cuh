// Hadamard linear attention in float without tensor cores: for float inputs, for widths that are no multiple of 8, for
// old parts. Feature f is lead feature f / last times last feature f % last; nothing is scaled.
#pragma once

#include "params.cuh"

namespace attnexport {

// Everything is a product of two panels of depth x 64 in shared memory; a thread holds 4 x 4 of the 64 x 64 results and
// 4 sums of the left panel's columns times `ones`. Panels are summed on their own: errors of long sums stay small.
struct HlaSimt {
    static constexpr int kThreads = 256, kSize = 64, kFactorDepth = 16, kOwn = 4, kStride = kSize + 4;

    struct Panels {
        float left[kSize][kStride], right[kSize][kStride];
        float ones[kSize];
    };

    struct Sums {
        float x[kOwn][kOwn], weights[kOwn];
    };

    static __device__ __forceinline__ int own_row() { return threadIdx.x / 16 * kOwn; }
    static __device__ __forceinline__ int own_column() { return threadIdx.x % 16 * kOwn; }

    static __device__ __forceinline__ void multiply(Sums &sums, const Panels &panels, int depths) {
        Sums own = {};
#pragma unroll 4
        for (int depth = 0; depth < depths; ++depth) {
            const float4 a = *reinterpret_cast<const float4 *>(&panels.left[depth][own_row()]);
            const float4 b = *reinterpret_cast<const float4 *>(&panels.right[depth][own_column()]);
            const float left[kOwn] = {a.x, a.y, a.z, a.w}, right[kOwn] = {b.x, b.y, b.z, b.w};
            const float one = panels.ones[depth];
#pragma unroll
            for (int r = 0; r < kOwn; ++r) {
#pragma unroll
                for (int c = 0; c < kOwn; ++c) own.x[r][c] = fmaf(left[r], right[c], own.x[r][c]);
                own.weights[r] = fmaf(left[r], one, own.weights[r]);
            }
        }
#pragma unroll
        for (int r = 0; r < kOwn; ++r) {
#pragma unroll
            for (int c = 0; c < kOwn; ++c) sums.x[r][c] += own.x[r][c];
            sums.weights[r] += own.weights[r];
        }
    }
};

// Multiplies x[0 .. kCount - 1] by one feature of tokens token, token + 1 and so on.
template <class T, int kCount>
__device__ __forceinline__ void multiply_features(float (&x)[kCount], const T *const (&factors)[kMaxFactors],
                                                  const HlaParams<T> &p, int64_t token, int count, int feature) {
    int rest = feature;
    for (int r = p.factors - 1; r >= 0; --r) {
        const int width = p.widths[r], next = r > 0 ? rest / width : 0, digit = rest - next * width;
        const T *from = factors[r] + token * width + digit;
#pragma unroll
        for (int i = 0; i < kCount; ++i)
            if (i < count) x[i] *= widen(from[static_cast<int64_t>(i) * width]);
        rest = next;
    }
}

// Values of keys first .. as the right panel, with ones for the keys before limit.
template <class T>
__device__ __forceinline__ void load_value_panel(HlaSimt::Panels &panels, const HlaParams<T> &p, int pair,
                                                 int first_column, int first, int limit) {
    const int width = p.shape.value_width;
    const T *v = p.v + (static_cast<int64_t>(pair) * p.shape.keys + first) * width + first_column;
    for (int at = threadIdx.x; at < HlaSimt::kSize * HlaSimt::kSize; at += HlaSimt::kThreads) {
        const int key = at / HlaSimt::kSize, column = at % HlaSimt::kSize;
        const bool inside = first + key < limit && first_column + column < width;
        panels.right[key][column] = inside ? widen(v[static_cast<int64_t>(key) * width + column]) : 0.f;
    }
    const int key = threadIdx.x;
    if (key < HlaSimt::kSize) panels.ones[key] = first + key < limit ? 1.f : 0.f;
}

// grid: (features / kSize * columns / kSize * units, pairs).
template <class T>
__global__ __launch_bounds__(HlaSimt::kThreads) void hla_states_simt(const HlaParams<T> p) {
    constexpr int kSize = HlaSimt::kSize, kOwn = HlaSimt::kOwn;
    HlaSimt::Panels &panels = *reinterpret_cast<HlaSimt::Panels *>(dynamic_shared());
    const int pair = blockIdx.y, width = p.shape.value_width;
    const int feature_blocks = (p.features + kSize - 1) / kSize, chunks = (width + kSize - 1) / kSize;
    const int first_feature = blockIdx.x % feature_blocks * kSize;
    const int first_column = blockIdx.x / feature_blocks % chunks * kSize, unit = blockIdx.x / feature_blocks / chunks;
    const KeyRange range = unit_keys(p, pair / p.shape.kv_heads, unit, kSize);
    constexpr int kKeysOfThread = kSize * kSize / HlaSimt::kThreads;
    const int feature = threadIdx.x % kSize, key = threadIdx.x / kSize * kKeysOfThread;

    HlaSimt::Sums sums = {};
    for (int first = range.low; first < range.high; first += kSize) {
        float x[kKeysOfThread];
        const int count = first_feature + feature < p.features ? min(kKeysOfThread, range.high - first - key) : 0;
#pragma unroll
        for (int i = 0; i < kKeysOfThread; ++i) x[i] = i < count ? 1.f : 0.f;
        if (count > 0)
            multiply_features(x, p.k, p, static_cast<int64_t>(pair) * p.shape.keys + first + key, count,
                              first_feature + feature);
        __syncthreads();
#pragma unroll
        for (int i = 0; i < kKeysOfThread; ++i) panels.left[key + i][feature] = x[i];
        load_value_panel(panels, p, pair, first_column, first, range.high);
        __syncthreads();
        HlaSimt::multiply(sums, panels, kSize);
    }

    float *to = p.sums + (static_cast<int64_t>(pair) * p.units() + unit) * p.state_floats();
#pragma unroll
    for (int r = 0; r < kOwn; ++r) {
        const int own = first_feature + HlaSimt::own_row() + r;
        if (own >= p.features) continue;
#pragma unroll
        for (int c = 0; c < kOwn; ++c) {
            const int column = first_column + HlaSimt::own_column() + c;
            if (column < width) to[static_cast<int64_t>(own) * width + column] = sums.x[r][c];
        }
        if (first_column == 0 && HlaSimt::own_column() == 0)
            to[static_cast<int64_t>(p.features) * width + own] = sums.weights[r];
    }
}

// The rows' features times their state.
template <class T>
__device__ __forceinline__ void read_state_simt(HlaSimt::Sums &sums, HlaSimt::Panels &panels, const HlaParams<T> &p,
                                                const HlaRows<T> &rows, int first_column) {
    constexpr int kSize = HlaSimt::kSize, kRowsOfThread = kSize * kSize / HlaSimt::kThreads;
    const int width = p.shape.value_width;
    const float *state =
        p.sums + (static_cast<int64_t>(rows.pair) * p.units() + p.splits - 1 + rows.state()) * p.state_floats();
    const int own = threadIdx.x % kSize, row = threadIdx.x / kSize * kRowsOfThread;
    const int count = min(kRowsOfThread, rows.limit - rows.first - row);
    for (int first = 0; first < p.features; first += kSize) {
        float x[kRowsOfThread];
        const bool exists = first + own < p.features;
#pragma unroll
        for (int i = 0; i < kRowsOfThread; ++i) x[i] = exists && i < count ? 1.f : 0.f;
        if (exists && count > 0) multiply_features(x, p.q, p, rows.base + rows.first + row, count, first + own);
        __syncthreads();
#pragma unroll
        for (int i = 0; i < kRowsOfThread; i += 4)
            *reinterpret_cast<float4 *>(&panels.left[own][row + i]) = make_float4(x[i], x[i + 1], x[i + 2], x[i + 3]);
        for (int at = threadIdx.x; at < kSize * kSize; at += HlaSimt::kThreads) {
            const int feature = first + at / kSize, column = first_column + at % kSize;
            panels.right[at / kSize][at % kSize] =
                feature < p.features && column < width ? state[static_cast<int64_t>(feature) * width + column] : 0.f;
        }
        if (threadIdx.x < kSize)
            panels.ones[own] = exists ? state[static_cast<int64_t>(p.features) * width + first + own] : 0.f;
        __syncthreads();
        HlaSimt::multiply(sums, panels, kSize);
    }
}

// Columns first .. of 64 tokens of a factor, turned: panel[column][token].
template <class T>
__device__ __forceinline__ void load_factor_panel(float (*panel)[HlaSimt::kStride], const T *from, int width, int first,
                                                  int tokens) {
    for (int at = threadIdx.x; at < HlaSimt::kFactorDepth * HlaSimt::kSize; at += HlaSimt::kThreads) {
        const int token = at / HlaSimt::kFactorDepth, column = at % HlaSimt::kFactorDepth;
        const bool inside = token < tokens && first + column < width;
        panel[column][token] = inside ? widen(from[static_cast<int64_t>(token) * width + first + column]) : 0.f;
    }
}

// The weights of pairs of rows and keys times the values.
template <class T>
__device__ __forceinline__ void add_pairs_simt(HlaSimt::Sums &sums, HlaSimt::Panels &panels, const HlaParams<T> &p,
                                               const HlaRows<T> &rows, int first_column, KeyRange range) {
    constexpr int kOwn = HlaSimt::kOwn;
    int seen[kOwn];
#pragma unroll
    for (int r = 0; r < kOwn; ++r) seen[r] = min(range.high, rows.visible(HlaSimt::own_row() + r));
    const int64_t row = rows.base + rows.first, first_key = static_cast<int64_t>(rows.pair) * p.shape.keys;
    for (int key = range.low; key < range.high; key += HlaSimt::kSize) {
        float weights[kOwn][kOwn];
        for (int factor = 0; factor < p.factors; ++factor) {
            const int width = p.widths[factor];
            HlaSimt::Sums dots = {};
            for (int first = 0; first < width; first += HlaSimt::kFactorDepth) {
                __syncthreads();
                const T *q = p.q[factor] + row * width, *k = p.k[factor] + (first_key + key) * width;
                load_factor_panel(panels.left, q, width, first, rows.limit - rows.first);
                load_factor_panel(panels.right, k, width, first, range.high - key);
                __syncthreads();
                HlaSimt::multiply(dots, panels, HlaSimt::kFactorDepth);
            }
#pragma unroll
            for (int r = 0; r < kOwn; ++r)
#pragma unroll
                for (int c = 0; c < kOwn; ++c)
                    weights[r][c] = factor == 0 ? dots.x[r][c] : weights[r][c] * dots.x[r][c];
        }
        __syncthreads();
#pragma unroll
        for (int c = 0; c < kOwn; ++c) {
            const int own = key + HlaSimt::own_column() + c;
            *reinterpret_cast<float4 *>(&panels.left[HlaSimt::own_column() + c][HlaSimt::own_row()]) =
                make_float4(own < seen[0] ? weights[0][c] : 0.f, own < seen[1] ? weights[1][c] : 0.f,
                            own < seen[2] ? weights[2][c] : 0.f, own < seen[3] ? weights[3][c] : 0.f);
        }
        load_value_panel(panels, p, rows.pair, first_column, key, range.high);
        __syncthreads();
        HlaSimt::multiply(sums, panels, HlaSimt::kSize);
    }
}

// grid: (tiles of rows * columns / kSize, pairs, splits of the keys).
template <class T>
__global__ __launch_bounds__(HlaSimt::kThreads) void hla_output_simt(const HlaParams<T> p) {
    constexpr int kSize = HlaSimt::kSize, kOwn = HlaSimt::kOwn;
    HlaSimt::Panels &panels = *reinterpret_cast<HlaSimt::Panels *>(dynamic_shared());
    const int width = p.shape.value_width, chunks = (width + kSize - 1) / kSize;
    const int first_column = static_cast<int>(blockIdx.x) % chunks * kSize;
    const HlaRows<T> rows(p, blockIdx.x / chunks, kSize);
    HlaSimt::Sums sums = {};
    if (p.states > 0) read_state_simt(sums, panels, p, rows, first_column);
    add_pairs_simt(sums, panels, p, rows, first_column, rows.pair_keys(kSize, blockIdx.z, kSize));

    const int64_t total = static_cast<int64_t>(p.shape.pairs()) * p.shape.group_rows();
#pragma unroll
    for (int r = 0; r < kOwn; ++r) {
        const int local = HlaSimt::own_row() + r;
        if (rows.first + local >= rows.limit) continue;
        const int64_t row = rows.base + rows.first + local, at = blockIdx.z * total + row;
        const float denominator = sums.weights[r] + p.eps, factor = denominator == 0.f ? 0.f : 1.f / denominator;
        if (p.partial_values != nullptr && first_column == 0 && HlaSimt::own_column() == 0)
            p.partial_sums[at] = make_float2(sums.weights[r], 0.f);
#pragma unroll
        for (int c = 0; c < kOwn; ++c) {
            const int column = first_column + HlaSimt::own_column() + c;
            if (column >= width) continue;
            if (p.partial_values != nullptr)
                p.partial_values[at * width + column] = sums.x[r][c];
            else
                p.out[row * width + column] = narrow<T>(sums.x[r][c] * factor);
        }
    }
}

}  // namespace attnexport
