// The forward kernel and the selection without tensor cores: the same hooks, parameters and results as
// attention_forward.cuh and select_rows.cuh.
#pragma once

#include <forward/simt_tile.cuh>
#include <forward/value_sums.cuh>
#include <selection/select_rows.cuh>

namespace attnexport {

template <class Config>
constexpr size_t simt_shared_bytes() {
    return sizeof(float) * ((Config::kRows + Config::kCols) * Config::kStride + Config::kRows * (Config::kCols + 1)) +
           kBoundsScratch * sizeof(int);
}

__device__ __forceinline__ float octet_max(float x) {
#pragma unroll
    for (int step = 1; step < 8; step *= 2) x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, step));
    return x;
}

__device__ __forceinline__ float octet_sum(float x) {
#pragma unroll
    for (int step = 1; step < 8; step *= 2) x += __shfl_xor_sync(0xffffffffu, x, step);
    return x;
}

// What a thread keeps of its rows: sums of its columns, and the maximum and the sum of the weights of its keys.
template <class Variant, class Config>
struct SimtSums {
    static constexpr int kOwnRows = Config::kOwnRows, kOwnValues = Config::kWidth / Config::kColThreads;

    float out[kOwnRows][kOwnValues] = {}, maximum[kOwnRows], sum[kOwnRows] = {};

    __device__ __forceinline__ SimtSums() {
#pragma unroll
        for (int r = 0; r < kOwnRows; ++r) maximum[r] = -INFINITY;
    }

    // Turns a row's scores into weights.
    __device__ __forceinline__ void weigh(int r, float (&scores)[Config::kOwnCols], const typename Variant::Row &row) {
        float largest = scores[0];
#pragma unroll
        for (int c = 1; c < Config::kOwnCols; ++c) largest = fmaxf(largest, scores[c]);
        largest = fmaxf(maximum[r], octet_max(largest));
        const float before = Variant::exponent(maximum[r], row), now = Variant::exponent(largest, row);
        // Of rounded exponents, as the weights were taken relative to them: a fused difference errs by their rounding.
        const float rescale = largest == -INFINITY ? 1.f : exp2f(__fadd_rn(before, -now));
        const float shift = largest == -INFINITY ? 0.f : now;
        maximum[r] = largest;
        sum[r] *= rescale;
#pragma unroll
        for (int d = 0; d < kOwnValues; ++d) out[r][d] *= rescale;
#pragma unroll
        for (int c = 0; c < Config::kOwnCols; ++c) scores[c] = exp2f(Variant::exponent_minus(scores[c], shift, row));
    }

    // Adds the values of a tile; its products make a sum of their own where registers allow: fewer roundings at the
    // size of the whole sum.
    __device__ __forceinline__ void add_values(const float *weights, int weight_stride, const float *values) {
        constexpr bool kParts = kOwnRows * kOwnValues <= 32;
        float part[kOwnRows][kOwnValues] = {};
        for (int key = 0; key < Config::kCols; ++key) {
            float weight[kOwnRows];
#pragma unroll
            for (int r = 0; r < kOwnRows; ++r)
                weight[r] = weights[(Config::thread_row() + r * Config::kRowThreads) * weight_stride + key];
#pragma unroll
            for (int d = 0; d < kOwnValues; ++d) {
                const float value = values[key * Config::kStride + Config::thread_column() + d * Config::kColThreads];
#pragma unroll
                for (int r = 0; r < kOwnRows; ++r) {
                    float &sum_of_products = kParts ? part[r][d] : out[r][d];
                    sum_of_products = fmaf(weight[r], value, sum_of_products);
                }
            }
        }
        if (kParts) {
#pragma unroll
            for (int r = 0; r < kOwnRows; ++r)
#pragma unroll
                for (int d = 0; d < kOwnValues; ++d) out[r][d] += part[r][d];
        }
    }
};

// A row's result, or the part of it that belongs to this block's split.
template <class Variant, class T, class Config>
__device__ __forceinline__ void write_row(const SimtBlock<Variant, T, Config> &block,
                                          const SimtSums<Variant, Config> &sums, int r) {
    const ParamsOf<Variant, T> &p = block.p;
    const float sum = octet_sum(sums.sum[r]);
    const int row = block.first + block.local_row(r), width = p.shape.value_width;
    if (row >= block.total) return;
    const bool split = p.splits > 1;
    const int64_t part = split ? static_cast<int64_t>(blockIdx.z) * gridDim.y : 0;
    const int64_t at = (part + block.pair) * block.total + row;
    if (split && Config::thread_column() == 0)
        p.partial_states[at] = make_float2(Variant::exponent(sums.maximum[r], block.rows[r]), sum);
    const float factor = split ? 1.f : Variant::normalise(sum, block.rows[r]);
#pragma unroll
    for (int d = 0; d < sums.kOwnValues; ++d) {
        const int column = Config::thread_column() + d * Config::kColThreads;
        if (column >= width) continue;
        float value = sums.out[r][d] * factor;
        if (split) {
            p.partial_sums[at * width + column] = value;
            continue;
        }
        if (Variant::kAdds)
            value += Variant::added(block.rows[r]) * value_sum<Variant, T>(p, block.pair, block.seen[r].high, column);
        p.out[at * width + column] = narrow<T>(value);
    }
}

template <class Variant, class T, class Config>
__global__ void __launch_bounds__(Config::kThreads) attention_forward_simt(const ParamsOf<Variant, T> p) {
    constexpr int kOwnRows = Config::kOwnRows, kOwnCols = Config::kOwnCols, kCols = Config::kCols;
    constexpr int kWeightStride = kCols + 1;
    float *q_tile = reinterpret_cast<float *>(dynamic_shared());
    float *kv_tile = q_tile + Config::kRows * Config::kStride;
    float *weights = kv_tile + kCols * Config::kStride;
    int *scratch = reinterpret_cast<int *>(weights + Config::kRows * kWeightStride);

    const SimtBlock<Variant, T, Config> block(p);
    const Shape &shape = p.shape;
    const bool selects = Variant::kGeneral && p.thresholds != nullptr;
    block.load_queries(q_tile);
    const BlockBounds bounds =
        block_bounds<Config::kRows, Config::kThreads>(shape, block.near, block.batch, block.first, scratch);
    const TileWalk<Variant::kNear> walk(shape, block.near, bounds, block.first, Config::kRows, kCols, p.splits);

    SimtSums<Variant, Config> sums;
    Threshold threshold[kOwnRows];
#pragma unroll
    for (int r = 0; r < kOwnRows; ++r) {
        const int row = block.first + block.local_row(r);
        threshold[r] = selects && row < block.total ? p.thresholds[block.pair * block.total + row]
                                                    : Threshold{-INFINITY, INT_MAX, INT_MAX};
    }

    for (int tile = walk.first(); tile < walk.end(); tile = walk.after(tile)) {
        __syncthreads();
        block.load_keys(kv_tile, tile);
        __syncthreads();
        float scores[kOwnRows][kOwnCols];
        block.scores(scores, q_tile, kv_tile, tile);
#pragma unroll
        for (int r = 0; r < kOwnRows; ++r) {
            unsigned dropped = 0;
#pragma unroll
            for (int c = 0; c < kOwnCols; ++c) {
                const int key = tile * kCols + Config::thread_column() + c * Config::kColThreads;
                if (!block.sees(r, key))
                    scores[r][c] = Variant::kHidden;
                else if (selects && !is_selected(scores[r][c], key, threshold[r])) {
                    if (p.normalise_over_all)
                        dropped |= 1u << c;
                    else
                        scores[r][c] = Variant::kHidden;
                }
            }
            if (Variant::kSoftmax) sums.weigh(r, scores[r], block.rows[r]);
#pragma unroll
            for (int c = 0; c < kOwnCols; ++c) {
                sums.sum[r] += scores[r][c];
                weights[block.local_row(r) * kWeightStride + Config::thread_column() + c * Config::kColThreads] =
                    dropped >> c & 1 ? 0.f : scores[r][c];
            }
        }
        __syncthreads();
        load_floats<Config>(kv_tile, p.v + block.pair * shape.keys * shape.value_width, kCols, shape.value_width,
                            tile * kCols, present_keys(shape, block.batch));
        __syncthreads();
        sums.add_values(weights, kWeightStride, kv_tile);
    }
#pragma unroll
    for (int r = 0; r < kOwnRows; ++r) write_row(block, sums, r);
}

template <class Config>
constexpr size_t simt_select_shared_bytes() {
    return sizeof(float) * (Config::kRows + Config::kCols) * Config::kStride + kBoundsScratch * sizeof(int) +
           sizeof(SelectionTable<Config::kRows>);
}

template <class Variant, class T, class Config>
__global__ void __launch_bounds__(Config::kThreads)
    select_rows_simt(const ParamsOf<Variant, T> p, const SelectParams select) {
    constexpr int kOwnRows = Config::kOwnRows, kOwnCols = Config::kOwnCols, kRows = Config::kRows;
    float *q_tile = reinterpret_cast<float *>(dynamic_shared());
    float *k_tile = q_tile + kRows * Config::kStride;
    int *scratch = reinterpret_cast<int *>(k_tile + Config::kCols * Config::kStride);
    auto &table = *reinterpret_cast<SelectionTable<kRows> *>(scratch + kBoundsScratch);

    const SimtBlock<Variant, T, Config> block(p);
    block.load_queries(q_tile);
    const BlockBounds bounds =
        block_bounds<kRows, Config::kThreads>(p.shape, block.near, block.batch, block.first, scratch);
    RowSelection<kRows, Config::kThreads> selection(table, select, p.shape, block.near, block.batch, block.first,
                                                    p.splits, block.pair * block.total + block.first);
    const TileWalk<Variant::kNear> walk(p.shape, block.near, bounds, block.first, kRows, Config::kCols, p.splits);

    for (Pass pass; selection.next(&pass);) {
        for (int tile = walk.first(); tile < walk.end(); tile = walk.after(tile)) {
            __syncthreads();
            block.load_keys(k_tile, tile);
            __syncthreads();
            float scores[kOwnRows][kOwnCols];
            block.scores(scores, q_tile, k_tile, tile);
#pragma unroll
            for (int r = 0; r < kOwnRows; ++r) {
                const SelectionState state = table.states[block.local_row(r)];
#pragma unroll
                for (int c = 0; c < kOwnCols; ++c) {
                    const int key = tile * Config::kCols + Config::thread_column() + c * Config::kColThreads;
                    if (state.done || !block.sees(r, key)) continue;
                    selection.visit(pass, state, block.local_row(r), scores[r][c], key);
                }
            }
        }
        selection.finish(pass);
    }
    selection.write_thresholds();
}

}  // namespace attnexport
