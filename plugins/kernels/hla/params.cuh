// Operands and sizes of Hadamard linear attention, and which keys every state sums.
//
// A weight is a product over the factors of <q_r, k_r>, hence an inner product of row-wise Kronecker products. All
// factors but the last make the lead features, so that a feature is a lead feature times a last one. Rows are taken in
// chunks; the state of a chunk sums features times (v, 1) over the keys before its first row, and the rows of a causal
// chunk go through its own keys pair by pair.
#pragma once

#include <common/visibility.cuh>
#include <forward/mma.cuh>

namespace attnexport {

constexpr int kMaxFactors = 32;
constexpr int kLastTile = 16;  // tensor cores take the last factor's features in tiles of this many

template <class T>
struct HlaParams {
    Shape shape;
    const T *q[kMaxFactors], *k[kMaxFactors];
    int widths[kMaxFactors];
    int factors;
    int lead;  // lead features, one where there is a single factor
    int last;
    const T *v;
    T *out;
    float eps;

    int features;      // of a state; with tensor cores the last factor counts whole tiles
    int chunk;         // rows that share a state, a multiple of the rows of a block
    int states;        // per pair; none: all rows go through all keys pair by pair
    int splits;        // parts of the first state's keys, or of all keys where there are no states
    float *sums;       // [pair][unit][features * value_width, then features]
    T *state_values;   // [pair][state][feature][column], scaled
    T *state_sums;     // [pair][state][feature], scaled
    unsigned *maxima;  // [pair][factor] of the keys, then [pair][state][values, sums]: bits of the largest magnitudes
    float *partial_values;  // [split][row][column]
    float2 *partial_sums;   // [split][row]: sum of the weights, exponent of both

    // A unit is a part of the first state's keys, or the keys between a later state and the one before.
    __host__ __device__ int units() const { return splits + states - 1; }
    __host__ __device__ int last_tiles() const { return (last + kLastTile - 1) / kLastTile; }
    __host__ __device__ int64_t state_floats() const {
        return static_cast<int64_t>(features) * (shape.value_width + 1);
    }

    // A causal block stays within a chunk of one head; the others take the rows of the whole group.
    __host__ __device__ bool by_head() const { return shape.causal && states > 0; }
    __host__ __device__ int tiled_rows() const { return by_head() ? shape.rows : shape.group_rows(); }
};

// Number of keys that a state sums: those of the sample before the chunk's first row.
template <class T>
__device__ __forceinline__ int keys_before(const HlaParams<T> &p, int batch, int state) {
    const int present = present_keys(p.shape, batch);
    if (!p.shape.causal) return present;
    const int64_t position = row_position(p.shape, batch, 0) + static_cast<int64_t>(state) * p.chunk;
    return static_cast<int>(max(static_cast<int64_t>(0), min(position, static_cast<int64_t>(present))));
}

// The index-th of `parts` ranges of whole tiles.
__device__ __forceinline__ KeyRange part_of(int keys, int index, int parts, int tile) {
    const int tiles = (keys + tile - 1) / tile, own = (tiles + parts - 1) / parts * tile;
    const int64_t low = static_cast<int64_t>(index) * own;
    if (low >= keys) return KeyRange{keys, keys};
    return KeyRange{static_cast<int>(low), static_cast<int>(min(low + own, static_cast<int64_t>(keys)))};
}

template <class T>
__device__ __forceinline__ KeyRange unit_keys(const HlaParams<T> &p, int batch, int unit, int tile) {
    if (unit < p.splits) return part_of(keys_before(p, batch, 0), unit, p.splits, tile);
    const int state = unit - p.splits + 1;
    return KeyRange{keys_before(p, batch, state - 1), keys_before(p, batch, state)};
}

// Which rows a block of an output kernel holds.
template <class T>
struct HlaRows {
    int pair, batch, first, limit;  // rows first .. of those that are tiled, as far as limit
    int head_rows;                  // rows of the group's earlier heads
    int64_t base;                   // row 0 of the tiled rows in q and out
    const HlaParams<T> &p;

    __device__ __forceinline__ HlaRows(const HlaParams<T> &params, int tile, int block_rows) : p(params) {
        const Shape &shape = p.shape;
        pair = blockIdx.y;
        batch = pair / shape.kv_heads;
        limit = p.tiled_rows();
        const int tiles = (limit + block_rows - 1) / block_rows;
        head_rows = tile / tiles * limit;
        first = tile % tiles * block_rows;
        base = static_cast<int64_t>(pair) * shape.group_rows() + head_rows;
    }

    // Number of keys that row `first + local` sees.
    __device__ __forceinline__ int visible(int local) const {
        const int row = first + local;
        return row < limit ? visible_count(p.shape, batch, row % p.shape.rows) : 0;
    }

    __device__ __forceinline__ int state() const { return p.by_head() ? first / p.chunk : 0; }

    // Keys that the block's rows go through pair by pair.
    __device__ __forceinline__ KeyRange pair_keys(int block_rows, int split, int tile) const {
        const Shape &shape = p.shape;
        if (p.states == 0) return part_of(visible_count(shape, batch, shape.rows - 1), split, p.splits, tile);
        if (!shape.causal) return KeyRange{0, 0};
        const int last_row = min(first + block_rows, limit) - 1;
        return KeyRange{keys_before(p, batch, state()), visible_count(shape, batch, last_row)};
    }
};

}  // namespace attnexport
