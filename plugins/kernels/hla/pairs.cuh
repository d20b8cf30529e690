// Weights of pairs of rows and keys on tensor cores, and the sums of one block's rows.
#pragma once

#include "features.cuh"

namespace attnexport {

// Weights are rounded to 16 bits, scaled so that a row's largest so far lies below this: only when it is passed are the
// sums rescaled.
constexpr float kWeightGrowth = 256.f;

template <int kValueTiles_>
struct HlaOutputConfig {
    static constexpr int kWarps = 4, kThreads = kWarps * 32, kRowTiles = 2, kRows = kWarps * kRowTiles * 16;
    static constexpr int kValueTiles = kValueTiles_, kValues = kValueTiles * 8, kBlocks = kValueTiles > 8 ? 2 : 3;
    static constexpr int kKeys = 32, kKeysAtOnce = kValueTiles > 8 ? 16 : 32;
    static_assert(kRows == kThreads, "a thread per row");
};

// Of a row without weights so far: any but the smallest will change it.
constexpr int kEmptyExponent = 126;

// Sums of a warp's rows, values and in the last tile's first column weights; both times 2^exponent of the row.
template <class Config>
struct HlaOut {
    Accumulator x[Config::kRowTiles][Config::kValueTiles + 1];
    int exponents[Config::kRowTiles][2];

    __device__ __forceinline__ void clear() {
#pragma unroll
        for (int m = 0; m < Config::kRowTiles; ++m)
#pragma unroll
            for (int half = 0; half < 2; ++half) {
#pragma unroll
                for (int n = 0; n <= Config::kValueTiles; ++n) x[m][n].x[half * 2] = x[m][n].x[half * 2 + 1] = 0.f;
                exponents[m][half] = kEmptyExponent;
            }
    }

    __device__ __forceinline__ float sum_of_weights(int m, int half) const {
        return __shfl_sync(0xffffffffu, x[m][Config::kValueTiles].x[half * 2], threadIdx.x % 32 / 4 * 4);
    }

    __device__ __forceinline__ void rescale(int m, int half, int of_values, int of_sums) {
        const WideScale values(of_values), sums(of_sums);
#pragma unroll
        for (int n = 0; n < Config::kValueTiles; ++n) {
            x[m][n].x[half * 2] = values(x[m][n].x[half * 2]);
            x[m][n].x[half * 2 + 1] = values(x[m][n].x[half * 2 + 1]);
        }
        x[m][Config::kValueTiles].x[half * 2] = sums(x[m][Config::kValueTiles].x[half * 2]);
    }

    // From exponents of their own for values and weights to one by which the sum of the weights is near one.
    __device__ __forceinline__ void take_exponents(int m, int half, int of_values, int of_sums) {
        const unsigned sum = finite_bits(sum_of_weights(m, half));
        exponents[m][half] = sum == 0 ? kEmptyExponent : clamp_exponent(of_sums - exponent_above(sum));
        rescale(m, half, exponents[m][half] - of_values, exponents[m][half] - of_sums);
    }
};

// 1 / (sum + eps) for a sum times 2^exponent; zero for a row without keys.
__device__ __forceinline__ float inverse_of_sum(float sum, float eps, int exponent) {
    const float denominator = sum + ldexpf(eps, exponent);
    return denominator == 0.f ? 0.f : 1.f / denominator;
}

// Shared memory: the rows' factors, then `stages` tiles of keys with all factors and values. Widths are padded to 16.
template <class Config>
struct HlaPairMemory {
    static constexpr int kValueStride = Config::kValues + 8;

    static __host__ __device__ int stride(int width) { return (width + 15) / 16 * 16 + 8; }

    static size_t shared_bytes(const int *widths, int factors, int stages) {
        size_t strides = 0;
        for (int r = 0; r < factors; ++r) strides += stride(widths[r]);
        return 2 * (Config::kRows * strides + stages * Config::kKeys * (strides + kValueStride));
    }
};

template <class Config>
using PairWeights = Accumulator[Config::kRowTiles][Config::kKeysAtOnce / 8];

// Products over the factors of q.k, for a warp's rows and the keys `part` .. of a tile.
template <class T, class Config>
__device__ __forceinline__ void multiply_factors(PairWeights<Config> &weights, const HlaParams<T> &p, uint32_t q_panel,
                                                 uint32_t k_panel, int part) {
    constexpr int kRowTiles = Config::kRowTiles, kCols = Config::kKeysAtOnce;
    constexpr int kBytes = static_cast<int>(sizeof(T));
    const int lane = threadIdx.x % 32, warp_row = threadIdx.x / 32 * kRowTiles * 16;
    for (int r = 0; r < p.factors; ++r) {
        const int stride = HlaPairMemory<Config>::stride(p.widths[r]);
        PairWeights<Config> dots = {};
#pragma unroll 1
        for (int depth = 0; depth < stride - 8; depth += 16) {
            FragmentA left[kRowTiles];
#pragma unroll
            for (int m = 0; m < kRowTiles; ++m)
                load_matrix_x4(left[m].x, element_address<T>(q_panel, stride, warp_row + m * 16 + lane % 16,
                                                             depth + lane / 16 * 8));
#pragma unroll
            for (int n = 0; n < kCols / 8; n += 2) {
                uint32_t right[4];
                const int own_key = part + n * 8 + lane % 8 + lane / 16 * 8;
                load_matrix_x4(right, element_address<T>(k_panel, stride, own_key, depth + lane / 8 % 2 * 8));
#pragma unroll
                for (int m = 0; m < kRowTiles; ++m) {
                    Mma<T>::multiply(dots[m][n], left[m], FragmentB{{right[0], right[1]}});
                    Mma<T>::multiply(dots[m][n + 1], left[m], FragmentB{{right[2], right[3]}});
                }
            }
        }
#pragma unroll
        for (int m = 0; m < kRowTiles; ++m)
#pragma unroll
            for (int n = 0; n < kCols / 8; ++n)
#pragma unroll
                for (int e = 0; e < 4; ++e)
                    weights[m][n].x[e] = r == 0 ? dots[m][n].x[e] : weights[m][n].x[e] * dots[m][n].x[e];
        q_panel += static_cast<uint32_t>(Config::kRows * stride * kBytes);
        k_panel += static_cast<uint32_t>(Config::kKeys * stride * kBytes);
    }
}

// Takes the weights of keys that a row does not see, and rescales the sums of rows whose weights have grown too large.
// `seen` holds how many keys the block's rows see, `first` is the number of the first one here.
template <class Config>
__device__ __forceinline__ void follow_weights(HlaOut<Config> &out, PairWeights<Config> &weights, const int *seen,
                                               int first) {
    constexpr int kRowTiles = Config::kRowTiles, kCols = Config::kKeysAtOnce;
    const int lane = threadIdx.x % 32, warp_row = threadIdx.x / 32 * kRowTiles * 16;
    float largest[kRowTiles][2] = {};
#pragma unroll
    for (int m = 0; m < kRowTiles; ++m)
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const int keys = seen[warp_row + m * 16 + half * 8 + lane / 4] - (first + lane % 4 * 2);
#pragma unroll
            for (int n = 0; n < kCols / 8; ++n)
#pragma unroll
                for (int e = 0; e < 2; ++e) {
                    float &weight = weights[m][n].x[half * 2 + e];
                    if (n * 8 + e >= keys) weight = 0.f;
                    largest[m][half] = fmaxf(largest[m][half], fabsf(weight));
                }
        }
    bool grown = false;
#pragma unroll
    for (int m = 0; m < kRowTiles; ++m)
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            float &most = largest[m][half];
            most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, 1));
            most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, 2));
            grown = grown || most * power_of_two(out.exponents[m][half]) > kWeightGrowth;
        }
    if (!__any_sync(0xffffffffu, grown)) return;
#pragma unroll
    for (int m = 0; m < kRowTiles; ++m)
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const float most = largest[m][half];
            if (!(most * power_of_two(out.exponents[m][half]) > kWeightGrowth)) continue;
            const int exponent = clamp_exponent(-exponent_above(finite_bits(most)));
            const int change = exponent - out.exponents[m][half];
            out.rescale(m, half, change, change);
            out.exponents[m][half] = exponent;
        }
}

// Adds the weighted values of the keys `part` .. of a tile, and the weights.
template <class T, class Config>
__device__ __forceinline__ void add_weighted(HlaOut<Config> &out, const PairWeights<Config> &weights, uint32_t v_tile,
                                             int part) {
    constexpr int kRowTiles = Config::kRowTiles, kCols = Config::kKeysAtOnce;
    const int lane = threadIdx.x % 32;
    const uint32_t one = Mma<T>::pack(1.f, 1.f);
    const FragmentB ones{{lane < 4 ? one : 0u, lane < 4 ? one : 0u}};
    float scales[kRowTiles][2];
#pragma unroll
    for (int m = 0; m < kRowTiles; ++m)
#pragma unroll
        for (int half = 0; half < 2; ++half) scales[m][half] = power_of_two(out.exponents[m][half]);
#pragma unroll
    for (int depth = 0; depth < kCols; depth += 16) {
        FragmentA left[kRowTiles];
#pragma unroll
        for (int m = 0; m < kRowTiles; ++m)
#pragma unroll
            for (int n = 0; n < 2; ++n) {
                const float (&x)[4] = weights[m][depth / 8 + n].x;
                left[m].x[n * 2] = Mma<T>::pack(x[0] * scales[m][0], x[1] * scales[m][0]);
                left[m].x[n * 2 + 1] = Mma<T>::pack(x[2] * scales[m][1], x[3] * scales[m][1]);
            }
#pragma unroll
        for (int n = 0; n < Config::kValueTiles; n += 2) {
            uint32_t right[4];
            load_matrix_x4_transposed(right, element_address<T>(v_tile, HlaPairMemory<Config>::kValueStride,
                                                                part + depth + lane % 16, n * 8 + lane / 16 * 8));
#pragma unroll
            for (int m = 0; m < kRowTiles; ++m) {
                Mma<T>::multiply(out.x[m][n], left[m], FragmentB{{right[0], right[1]}});
                Mma<T>::multiply(out.x[m][n + 1], left[m], FragmentB{{right[2], right[3]}});
            }
        }
#pragma unroll
        for (int m = 0; m < kRowTiles; ++m) Mma<T>::multiply(out.x[m][Config::kValueTiles], left[m], ones);
    }
}

template <class T, class Config>
__device__ __forceinline__ void add_pairs(HlaOut<Config> &out, const HlaParams<T> &p, const HlaRows<T> &rows,
                                          int first_column, KeyRange range, int stages, int *seen,
                                          unsigned char *memory) {
    using Memory = HlaPairMemory<Config>;
    constexpr int kRowTiles = Config::kRowTiles, kKeys = Config::kKeys, kCols = Config::kKeysAtOnce;
    constexpr int kBytes = static_cast<int>(sizeof(T));
    const Shape &shape = p.shape;
    const int64_t first_row = rows.base + rows.first, first_key = static_cast<int64_t>(rows.pair) * shape.keys;

    int strides = 0;
    const uint32_t q_panels = shared_address(memory);
    __syncthreads();
    for (int r = 0; r < p.factors; ++r) {
        const int width = p.widths[r], stride = Memory::stride(width);
        copy_rows_async(q_panels + static_cast<uint32_t>(Config::kRows * strides * kBytes), stride, stride / 8 - 1,
                        Config::kRows, p.q[r] + first_row * width, width, width, 0, rows.limit - rows.first);
        strides += stride;
    }
    const uint32_t k_panels = q_panels + static_cast<uint32_t>(Config::kRows * strides * kBytes);
    const uint32_t v_offset = static_cast<uint32_t>(kKeys * strides * kBytes);
    const uint32_t stage_bytes = v_offset + kKeys * Memory::kValueStride * kBytes;
    const TileCopy<T, kKeys, Config::kValues, Config::kThreads> values(
        p.v + first_key * shape.value_width + first_column, shape.value_width, shape.value_width - first_column);
    auto load_keys = [&](int key, int stage) {
        uint32_t to = k_panels + stage * stage_bytes;
        for (int r = 0; r < p.factors; ++r) {
            const int width = p.widths[r], stride = Memory::stride(width);
            const T *from = p.k[r] + first_key * width;
            copy_rows_async(to, stride, stride / 8 - 1, kKeys, from, width, width, key, range.high);
            to += static_cast<uint32_t>(kKeys * stride * kBytes);
        }
        values.load(to, key, range.high);
        commit_copies();
    };

    // A warp's lanes write the numbers of keys that its own rows see.
    static_assert(kRowTiles * 16 == 32, "a lane per row");
    const int own_seen = min(range.high, rows.visible(static_cast<int>(threadIdx.x)));
    const int most_seen = __reduce_max_sync(0xffffffffu, own_seen);
    seen[threadIdx.x] = own_seen;

    load_keys(range.low, 0);
    for (int key = range.low, stage = 0; key < range.high; key += kKeys) {
        wait_for_copies<0>();
        __syncthreads();
        const bool more = key + kKeys < range.high;
        if (more && stages > 1) load_keys(key + kKeys, stage ^ 1);
        const uint32_t k_stage = k_panels + stage * stage_bytes;
        for (int part = 0; part < kKeys && key + part < most_seen; part += kCols) {
            PairWeights<Config> weights;
            multiply_factors<T, Config>(weights, p, q_panels, k_stage, part);
            follow_weights(out, weights, seen, key + part);
            add_weighted<T>(out, weights, k_stage + v_offset, part);
        }
        if (stages > 1) {
            stage ^= 1;
        } else if (more) {
            __syncthreads();
            load_keys(key + kKeys, 0);
        }
    }
    wait_for_copies<0>();
}

}  // namespace attnexport
