// The fused forward kernel of all variants whose weights are a function of q.k, a number per key and numbers per row.
//
// A block holds kRows query rows of one key head (the rows of its whole group of query heads, so that decoding fills
// a tile) and walks over the tiles of keys that these rows see. Scores, weights and sums stay in registers; weights
// are rounded to the input type for the second product, sums are not.
#pragma once

#include <attnexport/params.h>
#include <attnexport/tile.cuh>
#include <attnexport/visibility.cuh>

#include <climits>

namespace attnexport {

constexpr float kLog2E = 1.4426950408889634f;

// Weights may exceed one by 2^kLargestGrowth before the running maximum follows: rescaling the sums becomes rare,
// and such weights and their sums are well inside the range of half and float.
constexpr float kLargestGrowth = 8.f;

__device__ __forceinline__ float exp2_fast(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

// Operands of one launch. key_numbers (batch, kv_heads, keys) is what Variant::weight gets per key, or null.
template <class Variant, class T>
struct ForwardParams {
    attnexport_shape shape;
    int window;
    const T *q, *k, *v;
    T *out;
    const float *key_numbers;
    typename Variant::RowParams row_params;
    int splits;
    float *partial_sums;    // (splits, batch, kv_heads, group rows, value_width)
    float2 *partial_states; // (splits, batch, kv_heads, group rows): maximum and sum
};

// Sizes of one instantiation.
template <int kWidth_, int kRowTiles_, int kWarps_, int kCols_>
struct ForwardConfig {
    static constexpr int kWidth = kWidth_, kRowTiles = kRowTiles_, kWarps = kWarps_, kCols = kCols_;
    static constexpr int kThreads = kWarps * 32;
    static constexpr int kRows = kWarps * kRowTiles * 16;

    template <class T>
    static constexpr size_t shared_bytes() {
        return sizeof(T) * (Tile<T, kRows, kWidth>::kElements + 4 * Tile<T, kCols, kWidth>::kElements) +
               2 * kCols * sizeof(float) + 4 * sizeof(int);
    }
};

// Smallest and largest bounds of the key ranges of a block's rows.
struct BlockRange {
    int low_min, low_max, high_min, high_max;
};

template <class Config, class Shape>
__device__ __forceinline__ BlockRange block_range(const Shape &shape, int window, int batch, int first, int *scratch) {
    if (threadIdx.x == 0) {
        scratch[0] = INT_MAX;
        scratch[1] = 0;
        scratch[2] = INT_MAX;
        scratch[3] = 0;
    }
    __syncthreads();
    const int total = shape.rows * (shape.heads / shape.kv_heads);
    for (int row = threadIdx.x; row < Config::kRows; row += Config::kThreads) {
        if (first + row < total) {
            const KeyRange range = visible_keys(shape, window, batch, (first + row) % shape.rows);
            atomicMin(scratch, range.low);
            atomicMax(scratch + 1, range.low);
            atomicMin(scratch + 2, range.high);
            atomicMax(scratch + 3, range.high);
        }
    }
    __syncthreads();
    return BlockRange{scratch[0], scratch[1], scratch[2], scratch[3]};
}

// S += Q K^T for a warp's rows and one tile of keys.
template <class T, class Config>
__device__ __forceinline__ void multiply_scores(
    Accumulator (&scores)[Config::kRowTiles][Config::kCols / 8], uint32_t q_tile, uint32_t k_tile, int warp_row) {
    constexpr int kWidth = Config::kWidth;
    const int lane = threadIdx.x % 32;
    // Right operands are loaded kAhead steps before they are multiplied, left ones a whole depth before.
    constexpr int kSteps = Config::kCols / 16, kTotal = kWidth / 16 * kSteps, kAhead = 2;
    const int b_row = lane % 8 + (lane / 16) * 8, b_column = ((lane / 8) % 2) * 8;
    uint32_t b[kAhead + 1][4];
    FragmentA a[2][Config::kRowTiles];
    auto load_right = [&](int step) {
        const uint32_t address =
            Tile<T, Config::kCols, kWidth>::address(k_tile, step % kSteps * 16 + b_row, step / kSteps * 16 + b_column);
        load_matrix_x4(b[step % (kAhead + 1)], address);
    };
    auto load_left = [&](int depth) {
#pragma unroll
        for (int m = 0; m < Config::kRowTiles; ++m) {
            const int row = warp_row + m * 16 + lane % 16, column = depth * 16 + (lane / 16) * 8;
            load_matrix_x4(a[depth % 2][m].x, Tile<T, Config::kRows, kWidth>::address(q_tile, row, column));
        }
    };
    load_left(0);
#pragma unroll
    for (int step = 0; step < kAhead; ++step) load_right(step);
#pragma unroll
    for (int step = 0; step < kTotal; ++step) {
        const int depth = step / kSteps, n = step % kSteps * 2;
        if (step % kSteps == 0 && depth + 1 < kWidth / 16) load_left(depth + 1);
        if (step + kAhead < kTotal) load_right(step + kAhead);
        const uint32_t *right = b[step % (kAhead + 1)];
#pragma unroll
        for (int m = 0; m < Config::kRowTiles; ++m) {
            Mma<T>::multiply(scores[m][n], a[depth % 2][m], FragmentB{{right[0], right[1]}});
            Mma<T>::multiply(scores[m][n + 1], a[depth % 2][m], FragmentB{{right[2], right[3]}});
        }
    }
}

// O += P V for a warp's rows and one tile of keys.
template <class T, class Config>
__device__ __forceinline__ void multiply_values(
    Accumulator (&out)[Config::kRowTiles][Config::kWidth / 8],
    const Accumulator (&weights)[Config::kRowTiles][Config::kCols / 8], uint32_t v_tile) {
    constexpr int kWidth = Config::kWidth;
    const int lane = threadIdx.x % 32;
    constexpr int kSteps = kWidth / 16, kTotal = Config::kCols / 16 * kSteps, kAhead = 2;
    const int b_row = lane % 16, b_column = (lane / 16) * 8;
    uint32_t b[kAhead + 1][4];
    auto load_right = [&](int step) {
        const uint32_t address =
            Tile<T, Config::kCols, kWidth>::address(v_tile, step / kSteps * 16 + b_row, step % kSteps * 16 + b_column);
        load_matrix_x4_transposed(b[step % (kAhead + 1)], address);
    };
#pragma unroll
    for (int step = 0; step < kAhead; ++step) load_right(step);
    FragmentA a[Config::kRowTiles];
#pragma unroll
    for (int step = 0; step < kTotal; ++step) {
        const int depth = step / kSteps, n = step % kSteps * 2;
        if (step % kSteps == 0) {
#pragma unroll
            for (int m = 0; m < Config::kRowTiles; ++m) {
                const Accumulator &left = weights[m][depth * 2], &next = weights[m][depth * 2 + 1];
                a[m].x[0] = Mma<T>::pack(left.x[0], left.x[1]);
                a[m].x[1] = Mma<T>::pack(left.x[2], left.x[3]);
                a[m].x[2] = Mma<T>::pack(next.x[0], next.x[1]);
                a[m].x[3] = Mma<T>::pack(next.x[2], next.x[3]);
            }
        }
        if (step + kAhead < kTotal) load_right(step + kAhead);
        const uint32_t *right = b[step % (kAhead + 1)];
#pragma unroll
        for (int m = 0; m < Config::kRowTiles; ++m) {
            Mma<T>::multiply(out[m][n], a[m], FragmentB{{right[0], right[1]}});
            Mma<T>::multiply(out[m][n + 1], a[m], FragmentB{{right[2], right[3]}});
        }
    }
}

__device__ __forceinline__ float quad_max(float x) {
    x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 1));
    return fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 2));
}

__device__ __forceinline__ float quad_sum(float x) {
    x += __shfl_xor_sync(0xffffffffu, x, 1);
    return x + __shfl_xor_sync(0xffffffffu, x, 2);
}

template <class Variant, class T, class Config>
__global__ void __launch_bounds__(Config::kThreads) attention_forward(const ForwardParams<Variant, T> p) {
    constexpr int kWidth = Config::kWidth, kCols = Config::kCols, kRowTiles = Config::kRowTiles;
    extern __shared__ __align__(16) unsigned char memory[];
    const uint32_t q_tile = shared_address(memory);
    const uint32_t k_tiles = q_tile + Tile<T, Config::kRows, kWidth>::kElements * sizeof(T);
    constexpr uint32_t kTileBytes = Tile<T, kCols, kWidth>::kElements * sizeof(T);
    const uint32_t v_tiles = k_tiles + 2 * kTileBytes;
    float *key_numbers = reinterpret_cast<float *>(
        memory + sizeof(T) * (Tile<T, Config::kRows, kWidth>::kElements + 4 * Tile<T, kCols, kWidth>::kElements));
    int *scratch = reinterpret_cast<int *>(key_numbers + 2 * kCols);

    const attnexport_shape &shape = p.shape;
    const int group = shape.heads / shape.kv_heads, total = group * shape.rows;
    const int first = (gridDim.x - 1 - blockIdx.x) * Config::kRows;
    const int kv_head = blockIdx.y % shape.kv_heads, batch = blockIdx.y / shape.kv_heads;
    const int64_t pair = blockIdx.y;
    const T *q = p.q + pair * total * shape.width;
    const T *k = p.k + pair * shape.keys * shape.width;
    const T *v = p.v + pair * shape.keys * shape.value_width;
    const float *numbers = Variant::kKeyNumbers ? p.key_numbers + pair * shape.keys : nullptr;

    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const int warp_row = warp * kRowTiles * 16;

    TileLoader<T, Config::kRows, kWidth, Config::kThreads>(q, shape.width).load(q_tile, first, total);
    const BlockRange range = block_range<Config>(shape, p.window, batch, first, scratch);

    typename Variant::Row row_state[kRowTiles][2];
    KeyRange seen[kRowTiles][2];
#pragma unroll
    for (int m = 0; m < kRowTiles; ++m)
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const int row = first + warp_row + m * 16 + half * 8 + lane / 4;
            const bool exists = row < total;
            const int i = exists ? row % shape.rows : 0, head = kv_head * group + (exists ? row / shape.rows : 0);
            seen[m][half] = exists ? visible_keys(shape, p.window, batch, i) : KeyRange{0, 0};
            row_state[m][half] = Variant::row(p.row_params, shape, batch, head, i);
        }

    int tile = range.low_min / kCols, tile_end = (range.high_max + kCols - 1) / kCols;
    if (range.low_min == INT_MAX) tile = tile_end = 0;
    if (p.splits > 1) {
        const int per_split = (tile_end - tile + p.splits - 1) / p.splits;
        tile += per_split * blockIdx.z;
        tile_end = min(tile_end, tile + per_split);
    }

    const TileLoader<T, kCols, kWidth, Config::kThreads> key_loader(k, shape.width), value_loader(v, shape.value_width);
    // Keys beyond the length are read as zeros: a cache may hold NaN there.
    const int present = present_keys(shape, batch);
    auto load_tiles = [&](int index, int stage) {
        const int begin = index * kCols;
        key_loader.load(k_tiles + stage * kTileBytes, begin, present);
        value_loader.load(v_tiles + stage * kTileBytes, begin, present);
        if (Variant::kKeyNumbers) {
            for (int column = threadIdx.x; column < kCols; column += Config::kThreads) {
                const bool inside = begin + column < present;
                copy_async_4(shared_address(key_numbers + stage * kCols + column), inside ? numbers + begin + column : numbers, inside);
            }
        }
        commit_copies();
    };

    Accumulator out[kRowTiles][kWidth / 8];
    float maximum[kRowTiles][2], sum[kRowTiles][2];
#pragma unroll
    for (int m = 0; m < kRowTiles; ++m) {
#pragma unroll
        for (int n = 0; n < kWidth / 8; ++n)
#pragma unroll
            for (int e = 0; e < 4; ++e) out[m][n].x[e] = 0.f;
        maximum[m][0] = maximum[m][1] = -INFINITY;
        sum[m][0] = sum[m][1] = 0.f;
    }

    if (tile < tile_end) load_tiles(tile, 0);
    for (int stage = 0; tile < tile_end; ++tile, stage ^= 1) {
        // One barrier a tile: it publishes this tile and frees the other stage, which the next copies fill.
        wait_for_copies<0>();
        __syncthreads();
        if (tile + 1 < tile_end) load_tiles(tile + 1, stage ^ 1);

        const int begin = tile * kCols;
        Accumulator scores[kRowTiles][kCols / 8];
#pragma unroll
        for (int n = 0; n < kCols / 8; ++n) {
            const int column = n * 8 + (lane % 4) * 2;
            float2 number = make_float2(0.f, 0.f);
            if (Variant::kKeyNumbers) number = *reinterpret_cast<const float2 *>(key_numbers + stage * kCols + column);
#pragma unroll
            for (int m = 0; m < kRowTiles; ++m)
#pragma unroll
                for (int half = 0; half < 2; ++half) {
                    scores[m][n].x[half * 2] = Variant::initial(number.x, row_state[m][half]);
                    scores[m][n].x[half * 2 + 1] = Variant::initial(number.y, row_state[m][half]);
                }
        }
        multiply_scores<T, Config>(scores, q_tile, k_tiles + stage * kTileBytes, warp_row);
#pragma unroll
        for (int n = 0; n < kCols / 8; ++n)
#pragma unroll
            for (int m = 0; m < kRowTiles; ++m)
#pragma unroll
                for (int e = 0; e < 4; ++e) scores[m][n].x[e] = Variant::score(scores[m][n].x[e], row_state[m][e / 2]);
        if (begin < range.low_max || begin + kCols > range.high_min) {
#pragma unroll
            for (int n = 0; n < kCols / 8; ++n)
#pragma unroll
                for (int m = 0; m < kRowTiles; ++m)
#pragma unroll
                    for (int e = 0; e < 4; ++e) {
                        const int key = begin + n * 8 + (lane % 4) * 2 + e % 2;
                        if (key < seen[m][e / 2].low || key >= seen[m][e / 2].high) scores[m][n].x[e] = Variant::kHidden;
                    }
        }

        // Loops over columns are outermost, so that the chains of the rows overlap.
        float row_sum[kRowTiles][2] = {};
        if (Variant::kSoftmax) {
            float largest[kRowTiles][2], shift[kRowTiles][2];
#pragma unroll
            for (int m = 0; m < kRowTiles; ++m) {
                largest[m][0] = fmaxf(scores[m][0].x[0], scores[m][0].x[1]);
                largest[m][1] = fmaxf(scores[m][0].x[2], scores[m][0].x[3]);
            }
#pragma unroll
            for (int n = 1; n < kCols / 8; ++n)
#pragma unroll
                for (int m = 0; m < kRowTiles; ++m)
#pragma unroll
                    for (int e = 0; e < 4; ++e) largest[m][e / 2] = fmaxf(largest[m][e / 2], scores[m][n].x[e]);
            bool grown = false;
#pragma unroll
            for (int m = 0; m < kRowTiles; ++m)
#pragma unroll
                for (int half = 0; half < 2; ++half) {
                    largest[m][half] = fmaxf(maximum[m][half], quad_max(largest[m][half]));
                    const float growth = Variant::exponent(largest[m][half], row_state[m][half]) -
                                         Variant::exponent(maximum[m][half], row_state[m][half]);
                    grown |= growth > kLargestGrowth;
                }
            if (__any_sync(0xffffffffu, grown)) {
#pragma unroll
                for (int m = 0; m < kRowTiles; ++m)
#pragma unroll
                    for (int half = 0; half < 2; ++half) {
                        const float before = Variant::exponent(maximum[m][half], row_state[m][half]);
                        const float now = Variant::exponent(largest[m][half], row_state[m][half]);
                        const float rescale = now == -INFINITY ? 1.f : exp2_fast(before - now);
                        maximum[m][half] = largest[m][half];
                        sum[m][half] *= rescale;
#pragma unroll
                        for (int n = 0; n < kWidth / 8; ++n) {
                            out[m][n].x[half * 2] *= rescale;
                            out[m][n].x[half * 2 + 1] *= rescale;
                        }
                    }
            }
#pragma unroll
            for (int m = 0; m < kRowTiles; ++m)
#pragma unroll
                for (int half = 0; half < 2; ++half)
                    shift[m][half] = maximum[m][half] == -INFINITY
                                         ? 0.f
                                         : Variant::exponent(maximum[m][half], row_state[m][half]);
#pragma unroll
            for (int n = 0; n < kCols / 8; ++n)
#pragma unroll
                for (int m = 0; m < kRowTiles; ++m)
#pragma unroll
                    for (int e = 0; e < 4; ++e)
                        scores[m][n].x[e] =
                            exp2_fast(Variant::exponent_minus(scores[m][n].x[e], shift[m][e / 2], row_state[m][e / 2]));
        }
#pragma unroll
        for (int n = 0; n < kCols / 8; ++n)
#pragma unroll
            for (int m = 0; m < kRowTiles; ++m)
#pragma unroll
                for (int e = 0; e < 4; ++e) row_sum[m][e / 2] += scores[m][n].x[e];
        bool any_weight = false;
#pragma unroll
        for (int m = 0; m < kRowTiles; ++m)
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                sum[m][half] += row_sum[m][half];
                any_weight |= row_sum[m][half] > 0.f;
            }

        if (Variant::kSoftmax || __any_sync(0xffffffffu, any_weight))
            multiply_values<T, Config>(out, scores, v_tiles + stage * kTileBytes);
    }
    wait_for_copies<0>();
    __syncthreads();

#pragma unroll
    for (int m = 0; m < kRowTiles; ++m)
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            sum[m][half] = quad_sum(sum[m][half]);
            const int row = first + warp_row + m * 16 + half * 8 + lane / 4;
            if (p.splits > 1) {
                if (row >= total) continue;
                const int64_t at = (static_cast<int64_t>(blockIdx.z) * gridDim.y + pair) * total + row;
                if (lane % 4 == 0) p.partial_states[at] = make_float2(Variant::exponent(maximum[m][half], row_state[m][half]), sum[m][half]);
#pragma unroll
                for (int n = 0; n < kWidth / 8; ++n) {
                    const int column = n * 8 + (lane % 4) * 2;
                    if (column < shape.value_width)
                        *reinterpret_cast<float2 *>(p.partial_sums + at * shape.value_width + column) =
                            make_float2(out[m][n].x[half * 2], out[m][n].x[half * 2 + 1]);
                }
                continue;
            }
            const float factor = Variant::normalise(sum[m][half], row_state[m][half]);
            T *staged = reinterpret_cast<T *>(memory) +
                        (warp_row + m * 16 + half * 8 + lane / 4) * Tile<T, Config::kRows, kWidth>::kStride;
#pragma unroll
            for (int n = 0; n < kWidth / 8; ++n) {
                const int column = n * 8 + (lane % 4) * 2;
                float2 value = make_float2(out[m][n].x[half * 2] * factor, out[m][n].x[half * 2 + 1] * factor);
                if (Variant::kAdds && row < total && column < shape.value_width) {
                    value.x += Variant::addend(row_state[m][half], column);
                    value.y += Variant::addend(row_state[m][half], column + 1);
                }
                *reinterpret_cast<uint32_t *>(staged + column) = Mma<T>::pack(value.x, value.y);
            }
        }
    if (p.splits > 1) return;

    // A warp's rows go out in 16-byte pieces.
    __syncwarp();
    T *destination = p.out + pair * total * shape.value_width;
    const int pieces = shape.value_width / 8;
    for (int piece = lane; piece < kRowTiles * 16 * pieces; piece += 32) {
        const int row = piece / pieces, column = (piece % pieces) * 8;
        if (first + warp_row + row < total) {
            const T *staged =
                reinterpret_cast<T *>(memory) + (warp_row + row) * Tile<T, Config::kRows, kWidth>::kStride + column;
            *reinterpret_cast<uint4 *>(destination + static_cast<int64_t>(first + warp_row + row) * shape.value_width + column) =
                *reinterpret_cast<const uint4 *>(staged);
        }
    }
}

// Joins the parts of a split: one warp a row, the parts in order, so that equal inputs give equal bits.
template <class Variant, class T>
__global__ void combine_splits(const ForwardParams<Variant, T> p) {
    const attnexport_shape &shape = p.shape;
    const int group = shape.heads / shape.kv_heads, total = group * shape.rows;
    const int64_t rows = static_cast<int64_t>(shape.batch) * shape.kv_heads * total;
    const int64_t at = static_cast<int64_t>(blockIdx.x) * (blockDim.x / 32) + threadIdx.x / 32;
    if (at >= rows) return;
    const int lane = threadIdx.x % 32, row = static_cast<int>(at % total);
    const int pair = static_cast<int>(at / total);
    const int head = pair % shape.kv_heads * group + row / shape.rows;
    const typename Variant::Row state =
        Variant::row(p.row_params, shape, pair / shape.kv_heads, head, row % shape.rows);
    float largest = -INFINITY;
    if (Variant::kSoftmax)
        for (int split = 0; split < p.splits; ++split) largest = fmaxf(largest, p.partial_states[split * rows + at].x);
    const float shift = largest == -INFINITY ? 0.f : largest;
    float sum = 0.f;
    for (int split = 0; split < p.splits; ++split) {
        const float2 part = p.partial_states[split * rows + at];
        sum += part.y * (Variant::kSoftmax ? exp2_fast(part.x - shift) : 1.f);
    }
    const float factor = Variant::normalise(sum, state);
    for (int column = lane; column < shape.value_width; column += 32) {
        float value = 0.f;
        for (int split = 0; split < p.splits; ++split) {
            const float weight = Variant::kSoftmax ? exp2_fast(p.partial_states[split * rows + at].x - shift) : 1.f;
            value += weight * p.partial_sums[(split * rows + at) * shape.value_width + column];
        }
        value *= factor;
        if (Variant::kAdds) value += Variant::addend(state, column);
        p.out[at * shape.value_width + column] = Mma<T>::narrow(value);
    }
}

}  // namespace attnexport
