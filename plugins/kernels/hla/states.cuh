// The states of Hadamard linear attention on tensor cores: features times (v, 1), summed over a unit's keys.
//
// Features are numbered by row tiles of 16: tile t holds lead feature t % lead and the 16 last features from
// t / lead * 16 on. A left operand is a fragment of the last factor, scaled by the tile's lead feature of every key.
#pragma once

#include <forward/tile.cuh>
#include "features.cuh"

namespace attnexport {

struct HlaStates {
    static constexpr int kWarps = 4, kThreads = kWarps * 32;
    static constexpr int kWarpTiles = 4, kTiles = kWarps * kWarpTiles;
    static constexpr int kKeys = 64, kValues = 64, kValueStride = kValues + 8;

    // How many tiles of the last factor the row tiles of a block touch, at most.
    static __host__ __device__ int last_tiles(int lead, int all) {
        const int touched = lead % kTiles == 0 ? 1 : (kTiles + lead - 2) / lead + 1;
        return touched < all ? touched : all;
    }

    static __host__ __device__ int last_stride(int lead, int all) { return last_tiles(lead, all) * kLastTile + 8; }

    static size_t shared_bytes(int lead, int all) {
        return 2 * 2 * (kKeys * (kValueStride + last_stride(lead, all)) + kTiles * kKeys);
    }
};

// Where a tile's key lies in a row of lead features: a thread finds the four keys of its fragment side by side.
__device__ __forceinline__ int lead_place(int key) {
    return key / 16 * 16 + key % 8 / 2 * 4 + key % 16 / 8 * 2 + key % 2;
}

// Sums of a warp's row tiles: values, and in the last tile's first column weights.
using HlaStateSums = Accumulator[HlaStates::kWarpTiles][HlaStates::kValues / 8 + 1];

// `to` is the unit's part of p.sums, `first_tile` the warp's.
template <class T>
__device__ __forceinline__ void write_state(const HlaParams<T> &p, const HlaStateSums &sums, float *to, int first_tile,
                                            int first_column) {
    const int lane = threadIdx.x % 32, width = p.shape.value_width;
#pragma unroll
    for (int r = 0; r < HlaStates::kWarpTiles; ++r) {
        if (first_tile + r >= p.lead * p.last_tiles()) continue;
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const int feature = (first_tile + r) * kLastTile + half * 8 + lane / 4;
            float *row = to + static_cast<int64_t>(feature) * width;
#pragma unroll
            for (int n = 0; n < HlaStates::kValues / 8; ++n) {
                const int column = first_column + n * 8 + lane % 4 * 2;
                if (column < width)
                    *reinterpret_cast<float2 *>(row + column) =
                        make_float2(sums[r][n].x[half * 2], sums[r][n].x[half * 2 + 1]);
            }
            if (first_column == 0 && lane % 4 == 0)
                to[static_cast<int64_t>(p.features) * width + feature] = sums[r][HlaStates::kValues / 8].x[half * 2];
        }
    }
}

// grid: (row tiles / kTiles * columns / kValues * units, pairs).
template <class T>
__global__ __launch_bounds__(HlaStates::kThreads, 2) void hla_states(const HlaParams<T> p) {
    constexpr int kKeys = HlaStates::kKeys, kTiles = HlaStates::kTiles, kWarpTiles = HlaStates::kWarpTiles;
    constexpr int kValues = HlaStates::kValues, kValueStride = HlaStates::kValueStride;
    const Shape &shape = p.shape;
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const int pair = blockIdx.y, batch = pair / shape.kv_heads;
    const int last_tiles = p.last_tiles(), tiles = p.lead * last_tiles, tile_blocks = (tiles + kTiles - 1) / kTiles;
    const int chunks = (shape.value_width + kValues - 1) / kValues;
    const int first_tile = blockIdx.x % tile_blocks * kTiles;
    const int first_column = blockIdx.x / tile_blocks % chunks * kValues, unit = blockIdx.x / tile_blocks / chunks;
    const KeyRange range = unit_keys(p, batch, unit, kKeys);

    const int slice = HlaStates::last_tiles(p.lead, last_tiles), last_stride = slice * kLastTile + 8;
    const int first_last = first_tile / p.lead;
    unsigned char *memory = dynamic_shared();
    T *lead_tables = reinterpret_cast<T *>(memory);
    const uint32_t v_tiles = shared_address(memory + 2 * kTiles * kKeys * sizeof(T));
    const uint32_t v_bytes = kKeys * kValueStride * static_cast<int>(sizeof(T));
    const uint32_t last_panels = v_tiles + 2 * v_bytes;
    const uint32_t last_bytes = kKeys * last_stride * static_cast<int>(sizeof(T));

    const TileCopy<T, kKeys, kValues, HlaStates::kThreads> v(
        p.v + static_cast<int64_t>(pair) * shape.keys * shape.value_width + first_column, shape.value_width,
        shape.value_width - first_column);
    const int64_t first_token = static_cast<int64_t>(pair) * shape.keys;
    const T *last = p.k[p.factors - 1] + first_token * p.last + first_last * kLastTile;
    auto load_tiles = [&](int key, int stage) {
        v.load(v_tiles + stage * v_bytes, key, range.high);
        copy_rows_async(last_panels + stage * last_bytes, last_stride, slice * 2, kKeys, last, p.last,
                        p.last - first_last * kLastTile, key, range.high);
        commit_copies();
    };

    // A thread writes the lead features of one key and eight row tiles.
    static_assert(HlaStates::kThreads == kKeys * kTiles / 8, "a thread per key and eight row tiles");
    const float scale = power_of_two(key_exponent(p, pair));
    const int own_key = threadIdx.x % kKeys, own_tile = threadIdx.x / kKeys * 8;
    const bool has_run = p.factors > 1 && first_tile + own_tile < tiles;
    const int own_lead = (first_tile + own_tile) % p.lead;
    auto load_leads = [&](int key) {
        LeadRun<T> run;
        run.elements = make_uint4(0, 0, 0, 0);
        run.multiplier = 0.f;
        if (has_run && key + own_key < range.high)
            run = load_lead_run<T>(p.k, p.widths, p.factors - 1, first_token + key + own_key, own_lead, scale);
        return run;
    };
    auto store_leads = [&](const LeadRun<T> &run, int stage) {
        T *to = lead_tables + (stage * kTiles + own_tile) * kKeys + lead_place(own_key);
#pragma unroll
        for (int e = 0; e < 8; ++e) to[e * kKeys] = narrow<T>(p.factors > 1 ? run.value(e) : scale);
    };

    int own_last[kWarpTiles];  // column of every row tile in the panel of the last factor
    bool same_last = true;
#pragma unroll
    for (int r = 0; r < kWarpTiles; ++r) {
        const int tile = first_tile + warp * kWarpTiles + r;
        own_last[r] = min(tile / p.lead - first_last, slice - 1) * kLastTile;
        same_last = same_last && own_last[r] == own_last[0];
    }
    const uint32_t one = Mma<T>::pack(1.f, 1.f);
    const FragmentB ones{{lane < 4 ? one : 0u, lane < 4 ? one : 0u}};
    HlaStateSums sums = {};

    LeadRun<T> next_leads = load_leads(range.low);
    load_tiles(range.low, 0);
    store_leads(next_leads, 0);
    for (int key = range.low, stage = 0; key < range.high; key += kKeys, stage ^= 1) {
        wait_for_copies<0>();
        __syncthreads();
        const bool more = key + kKeys < range.high;
        if (more) {
            load_tiles(key + kKeys, stage ^ 1);
            next_leads = load_leads(key + kKeys);
        }
        const uint32_t v_tile = v_tiles + stage * v_bytes, panel = last_panels + stage * last_bytes;
        const T *leads = lead_tables + (stage * kTiles + warp * kWarpTiles) * kKeys + lane % 4 * 4;
#pragma unroll
        for (int depth = 0; depth < kKeys; depth += 16) {
            uint32_t right[kValues / 16][4];
#pragma unroll
            for (int n = 0; n < kValues / 16; ++n)
                load_matrix_x4_transposed(
                    right[n], element_address<T>(v_tile, kValueStride, depth + lane % 16, n * 16 + lane / 16 * 8));
            uint32_t last_part[4];
#pragma unroll
            for (int r = 0; r < kWarpTiles; ++r) {
                if (r == 0 || !same_last)
                    load_matrix_x4_transposed(last_part,
                                              element_address<T>(panel, last_stride, depth + lane / 16 * 8 + lane % 8,
                                                                 own_last[r] + lane / 8 % 2 * 8));
                const uint2 lead = *reinterpret_cast<const uint2 *>(leads + r * kKeys + depth);
                const FragmentA left{{Mma<T>::scale(last_part[0], lead.x), Mma<T>::scale(last_part[1], lead.x),
                                      Mma<T>::scale(last_part[2], lead.y), Mma<T>::scale(last_part[3], lead.y)}};
#pragma unroll
                for (int n = 0; n < kValues / 16; ++n) {
                    Mma<T>::multiply(sums[r][n * 2], left, FragmentB{{right[n][0], right[n][1]}});
                    Mma<T>::multiply(sums[r][n * 2 + 1], left, FragmentB{{right[n][2], right[n][3]}});
                }
                Mma<T>::multiply(sums[r][kValues / 8], left, ones);
            }
        }
        if (more) store_leads(next_leads, stage ^ 1);
    }
    wait_for_copies<0>();

    float *to = p.sums + (static_cast<int64_t>(pair) * p.units() + unit) * p.state_floats();
    write_state(p, sums, to, first_tile + warp * kWarpTiles, first_column);
}

}  // namespace attnexport
