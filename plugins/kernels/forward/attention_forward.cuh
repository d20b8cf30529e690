// The fused forward kernel of all variants whose weights are a function of q.k, a number per key and numbers per row.
//
// A block holds kRows query rows of one key head (the rows of its whole group of query heads, so that decoding fills
// a tile) and walks over the tiles of keys that these rows see. Scores, weights and sums stay in registers; weights
// are rounded to the input type for the second product, sums are not.
#pragma once

#include <forward/tile.cuh>
#include <forward/tile_walk.cuh>
#include <forward/variant.cuh>
#include <selection/selection.cuh>

namespace attnexport {

// Weights may exceed one by 2^kLargestGrowth before the running maximum follows: rescaling the sums becomes rare,
// and such weights and their sums are well inside the range of half and float.
constexpr float kLargestGrowth = 8.f;

// Sizes of one instantiation. One or two tiles of keys and of values lie in shared memory; with one of each the values
// of a tile arrive while its scores are computed, and the next keys while its values are summed.
template <int kWidth_, int kRowTiles_, int kWarps_, int kCols_, int kStages_ = 2>
struct ForwardConfig {
    static constexpr int kWidth = kWidth_, kRowTiles = kRowTiles_, kWarps = kWarps_, kCols = kCols_, kStages = kStages_;
    static constexpr int kThreads = kWarps * 32;
    static_assert(kStages == 1 || kStages == 2);
    static constexpr int kRows = kWarps * kRowTiles * 16;

    template <class T>
    static constexpr size_t shared_bytes() {
        return sizeof(T) * (Tile<T, kRows, kWidth>::kElements + 2 * kStages * Tile<T, kCols, kWidth>::kElements) +
               kStages * kCols * sizeof(float) + kBoundsScratch * sizeof(int);
    }
};

// S += Q K^T for a warp's rows and one tile of keys.
template <class T, class Config>
__device__ __forceinline__ void multiply_scores(Accumulator (&scores)[Config::kRowTiles][Config::kCols / 8],
                                                uint32_t q_tile, uint32_t k_tile, int warp_row) {
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
__device__ __forceinline__ void multiply_values(Accumulator (&out)[Config::kRowTiles][Config::kWidth / 8],
                                                const Accumulator (&weights)[Config::kRowTiles][Config::kCols / 8],
                                                uint32_t v_tile) {
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
__device__ __forceinline__ void tile_scores(Accumulator (&scores)[Config::kRowTiles][Config::kCols / 8],
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
    multiply_scores<T, Config>(scores, q_tile, k_tile, warp_row);
#pragma unroll
    for (int n = 0; n < Config::kCols / 8; ++n)
#pragma unroll
        for (int m = 0; m < Config::kRowTiles; ++m)
#pragma unroll
            for (int e = 0; e < 4; ++e) scores[m][n].x[e] = Variant::score(scores[m][n].x[e], rows[m][e / 2]);
}

// Sets bit n * 4 + e of dropped[m] for every score that the row's threshold leaves out. Of a row's ties the first
// threshold.room are selected: `taken` counts those of the tiles before.
template <class Config>
__device__ __forceinline__ void drop_unselected(uint32_t (&dropped)[Config::kRowTiles],
                                                int (&taken)[Config::kRowTiles][2],
                                                const Accumulator (&scores)[Config::kRowTiles][Config::kCols / 8],
                                                const Threshold (&threshold)[Config::kRowTiles][2], int begin) {
    const int lane = threadIdx.x % 32;
    uint32_t ties[Config::kRowTiles] = {};
    bool any = false;
#pragma unroll
    for (int n = 0; n < Config::kCols / 8; ++n)
#pragma unroll
        for (int m = 0; m < Config::kRowTiles; ++m)
#pragma unroll
            for (int e = 0; e < 4; ++e) {
                const int key = begin + n * 8 + (lane % 4) * 2 + e % 2;
                const float score = scores[m][n].x[e];
                const Threshold &row = threshold[m][e / 2];
                if (!is_selected(score, key, row))
                    dropped[m] |= 1u << (n * 4 + e);
                else if (score == row.score)
                    ties[m] |= 1u << (n * 4 + e);
            }
#pragma unroll
    for (int m = 0; m < Config::kRowTiles; ++m) any |= ties[m] != 0;
    if (!__any_sync(0xffffffffu, any)) return;
#pragma unroll
    for (int m = 0; m < Config::kRowTiles; ++m)
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const uint32_t mine = ties[m] & (half ? 0xccccccccu : 0x33333333u);
            uint32_t others[4];
            int found = 0;
#pragma unroll
            for (int other = 0; other < 4; ++other) {
                others[other] = __shfl_sync(0xffffffffu, mine, other, 4);
                found += __popc(others[other]);
            }
            const int room = threshold[m][half].room;
            if (mine != 0 && found > room - taken[m][half]) {
                for (uint32_t left = mine; left != 0; left &= left - 1) {
                    // Keys come before this one in groups of eight, then by lane, then by place in the lane.
                    const int bit = __ffs(left) - 1, group = bit & ~3;
                    const uint32_t before = (1u << group) - 1;
                    int rank = taken[m][half] + __popc(mine & ((1u << bit) - 1) & ~before);
#pragma unroll
                    for (int other = 0; other < 4; ++other) {
                        rank += __popc(others[other] & before);
                        if (other < lane % 4) rank += __popc(others[other] & (0xfu << group));
                    }
                    if (rank >= room) dropped[m] |= 1u << bit;
                }
            }
            taken[m][half] = min(taken[m][half] + found, INT_MAX / 2);
        }
}

template <class Variant, class T, class Config>
__global__ void __launch_bounds__(Config::kThreads) attention_forward(const ParamsOf<Variant, T> p) {
    constexpr int kWidth = Config::kWidth, kCols = Config::kCols, kRowTiles = Config::kRowTiles;
    constexpr int kStages = Config::kStages;
    constexpr bool kOneWarp = Config::kWarps == 1 && kRowTiles == 1;
    unsigned char *memory = dynamic_shared();
    const uint32_t q_tile = shared_address(memory);
    const uint32_t k_tiles = q_tile + Tile<T, Config::kRows, kWidth>::kElements * sizeof(T);
    constexpr uint32_t kTileBytes = Tile<T, kCols, kWidth>::kElements * sizeof(T);
    const uint32_t v_tiles = k_tiles + kStages * kTileBytes;
    float *key_norms = reinterpret_cast<float *>(memory + (v_tiles - q_tile) + kStages * kTileBytes);
    int *scratch = reinterpret_cast<int *>(key_norms + kStages * kCols);

    const Shape &shape = p.shape;
    const Neighbourhood near = neighbourhood_of<Variant>(p);
    const int group = shape.heads / shape.kv_heads, total = group * shape.rows;
    const int first = (gridDim.x - 1 - blockIdx.x) * Config::kRows;
    const int kv_head = blockIdx.y % shape.kv_heads, batch = blockIdx.y / shape.kv_heads;
    const int64_t pair = blockIdx.y;
    const T *q = p.q + pair * total * shape.width;
    const T *k = p.k + pair * shape.keys * shape.width;
    const T *v = p.v + pair * shape.keys * shape.value_width;
    const float *norms = Variant::kKeyNorms && p.key_norms != nullptr ? p.key_norms + pair * shape.keys : nullptr;

    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const int warp_row = warp * kRowTiles * 16;

    TileLoader<T, Config::kRows, kWidth, Config::kThreads>(q, shape.width).load(q_tile, first, total);
    commit_copies();
    const BlockBounds bounds = block_bounds<Config::kRows, Config::kThreads>(shape, near, batch, first, scratch);

    // What a row's hooks need. Asked for again behind the loop, so that what only the end needs holds no registers in
    // it.
    auto row_of = [&](int m, int half) {
        const int row = min(first + warp_row + m * 16 + half * 8 + lane / 4, total - 1);
        return Variant::row(p.row_params, shape, batch, kv_head * group + row / shape.rows, row % shape.rows);
    };
    typename Variant::Row row_state[kRowTiles][2];
    KeyRange seen[kRowTiles][2];
    RangeBounds warp_range;
    Threshold threshold[kRowTiles][2];
    const bool selects = Variant::kGeneral && p.thresholds != nullptr;
#pragma unroll
    for (int m = 0; m < kRowTiles; ++m)
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const int row = first + warp_row + m * 16 + half * 8 + lane / 4;
            const bool exists = row < total;
            seen[m][half] = exists ? visible_keys(shape, near, batch, row % shape.rows) : KeyRange{0, 0};
            if (selects)
                threshold[m][half] = exists ? p.thresholds[pair * total + row] : Threshold{-INFINITY, INT_MAX, INT_MAX};
            row_state[m][half] = row_of(m, half);
            if (exists) warp_range.include(seen[m][half]);
        }
    warp_range.join_rows_of_warp<Variant::kNear>();

    const TileWalk<Variant::kNear> walk(shape, near, bounds, first, Config::kRows, kCols, p.splits);

    const TileLoader<T, kCols, kWidth, Config::kThreads> key_loader(k, shape.width), value_loader(v, shape.value_width);
    // Keys beyond the length are read as zeros: a cache may hold NaN there.
    const int present = present_keys(shape, batch);
    auto load_keys = [&](int index, int stage) {
        if (index >= walk.end()) return;
        key_loader.load(k_tiles + stage * kTileBytes, index * kCols, present);
        if (Variant::kKeyNorms && norms != nullptr)
            load_norms<kCols, Config::kThreads>(key_norms + stage * kCols, norms, index * kCols, present);
    };
    auto load_values = [&](int index, int stage) {
        if (index < walk.end()) value_loader.load(v_tiles + stage * kTileBytes, index * kCols, present);
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

    if (Variant::negates_queries(p.row_params)) {
        // The first tile's barrier publishes them.
        wait_for_copies<0>();
        __syncthreads();
        negate_tile<T, Config::kRows, kWidth, Config::kThreads>(memory);
    }

    int taken[kRowTiles][2] = {};  // keys that tie with the row's threshold and were selected
    int tile = walk.first();
    load_keys(tile, 0);
    if (kStages == 2) load_values(tile, 0);
    commit_copies();
    for (int stage = 0, next; tile < walk.end(); tile = next, stage ^= kStages - 1) {
        // The barrier publishes what was loaded and frees what the next copies fill.
        wait_for_copies<0>();
        __syncthreads();
        next = walk.after(tile);
        if (kStages == 2) load_keys(next, stage ^ 1);
        load_values(kStages == 2 ? next : tile, kStages == 2 ? stage ^ 1 : 0);
        commit_copies();
        float *tile_key_norms = key_norms + stage * kCols;
        if (kOneWarp && Variant::kKeyNorms && norms == nullptr) {
            tile_norms<T, kCols, kWidth>(tile_key_norms, memory + (k_tiles - q_tile) + stage * kTileBytes);
            __syncwarp();
        }

        const int begin = tile * kCols;
        const bool excluded = warp_range.excludes(begin, begin + kCols);
        Accumulator scores[kRowTiles][kCols / 8];
        if (!excluded)
            tile_scores<Variant, T, Config>(scores, row_state, tile_key_norms, q_tile, k_tiles + stage * kTileBytes,
                                            warp_row);
        if (kStages == 1) {
            // Publishes the values and frees the keys.
            wait_for_copies<0>();
            __syncthreads();
            load_keys(next, 0);
            commit_copies();
        }
        if (excluded) continue;
        const bool grid = near.grid_width > 0;
        if (warp_range.cuts(begin, begin + kCols) || grid) {
#pragma unroll
            for (int n = 0; n < kCols / 8; ++n)
#pragma unroll
                for (int m = 0; m < kRowTiles; ++m)
#pragma unroll
                    for (int e = 0; e < 4; ++e) {
                        const int key = begin + n * 8 + (lane % 4) * 2 + e % 2;
                        bool hidden = key < seen[m][e / 2].low || key >= seen[m][e / 2].high;
                        if (grid) {
                            const int i = (first + warp_row + m * 16 + e / 2 * 8 + lane / 4) % shape.rows;
                            hidden = hidden || !grid_sees(near, i, cell_of(near, i), key);
                        }
                        if (hidden) scores[m][n].x[e] = Variant::kHidden;
                    }
        }
        uint32_t dropped[kRowTiles] = {};
        if (selects) {
            drop_unselected<Config>(dropped, taken, scores, threshold, begin);
            if (!p.normalise_over_all) {
#pragma unroll
                for (int n = 0; n < kCols / 8; ++n)
#pragma unroll
                    for (int m = 0; m < kRowTiles; ++m)
#pragma unroll
                        for (int e = 0; e < 4; ++e)
                            if (dropped[m] >> (n * 4 + e) & 1) scores[m][n].x[e] = Variant::kHidden;
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
                    shift[m][half] =
                        maximum[m][half] == -INFINITY ? 0.f : Variant::exponent(maximum[m][half], row_state[m][half]);
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
        if (selects && p.normalise_over_all) {
#pragma unroll
            for (int n = 0; n < kCols / 8; ++n)
#pragma unroll
                for (int m = 0; m < kRowTiles; ++m)
#pragma unroll
                    for (int e = 0; e < 4; ++e)
                        if (dropped[m] >> (n * 4 + e) & 1) scores[m][n].x[e] = 0.f;
        }

        if (kOneWarp && Variant::kAdds && p.value_sums != nullptr && lane / 4 == 7) {
            // No row is the tile's last: weights of one there make the sum of the values.
#pragma unroll
            for (int n = 0; n < kCols / 8; ++n)
#pragma unroll
                for (int e = 2; e < 4; ++e) {
                    const int key = begin + n * 8 + lane % 4 * 2 + e % 2;
                    scores[0][n].x[e] = key >= bounds.all.low_min && key < bounds.all.high_max ? 1.f : 0.f;
                }
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
                if (kOneWarp && Variant::kAdds && p.value_sums != nullptr && half == 1 && lane / 4 == 7) {
                    float *sums =
                        p.value_sums + (static_cast<int64_t>(blockIdx.z) * gridDim.y + pair) * shape.value_width;
#pragma unroll
                    for (int n = 0; n < kWidth / 8; ++n)
#pragma unroll
                        for (int e = 2; e < 4; ++e) {
                            const int column = n * 8 + (lane % 4) * 2 + e % 2;
                            if (column < shape.value_width) sums[column] = out[m][n].x[e];
                        }
                }
                if (row >= total) continue;
                const int64_t at = (static_cast<int64_t>(blockIdx.z) * gridDim.y + pair) * total + row;
                if (lane % 4 == 0)
                    p.partial_states[at] =
                        make_float2(Variant::exponent(maximum[m][half], row_state[m][half]), sum[m][half]);
#pragma unroll
                for (int n = 0; n < kWidth / 8; ++n) {
                    const int column = n * 8 + (lane % 4) * 2;
                    if (column < shape.value_width)
                        *reinterpret_cast<float2 *>(p.partial_sums + at * shape.value_width + column) =
                            make_float2(out[m][n].x[half * 2], out[m][n].x[half * 2 + 1]);
                }
                continue;
            }
            const typename Variant::Row state = row_of(m, half);
            const float factor = Variant::normalise(sum[m][half], state);
            T *staged = reinterpret_cast<T *>(memory) +
                        (warp_row + m * 16 + half * 8 + lane / 4) * Tile<T, Config::kRows, kWidth>::kStride;
#pragma unroll
            for (int n = 0; n < kWidth / 8; ++n) {
                const int column = n * 8 + (lane % 4) * 2;
                float2 value = make_float2(out[m][n].x[half * 2] * factor, out[m][n].x[half * 2 + 1] * factor);
                if (Variant::kAdds && row < total && column < shape.value_width) {
                    value.x += Variant::addend(state, Variant::value_sum(state, column));
                    value.y += Variant::addend(state, Variant::value_sum(state, column + 1));
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
            *reinterpret_cast<uint4 *>(destination + static_cast<int64_t>(first + warp_row + row) * shape.value_width +
                                       column) = *reinterpret_cast<const uint4 *>(staged);
        }
    }
}

}  // namespace attnexport
