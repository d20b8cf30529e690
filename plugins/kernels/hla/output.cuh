// Rows of Hadamard linear attention on tensor cores: features of the queries times a state, then the keys that the
// rows go through pair by pair, which are a causal chunk's own or all of them.
#pragma once

#include "features.cuh"
#include "pairs.cuh"

namespace attnexport {

// Row tiles are numbered as in hla_states.cuh. Lead features lie in shared memory, kLeads of them at a time.
template <class Config>
struct HlaReadState {
    static constexpr int kSteps = 4;  // row tiles of a state that are loaded together
    static constexpr int kLeads = 64;
    static constexpr int kStride = Config::kValues + 8;
    static constexpr int kStageElements = kSteps * kLastTile * (kStride + 1);

    static __host__ __device__ int last_stride(int last_tiles) { return last_tiles * kLastTile + 8; }

    // An odd number of 32-bit words, so that the rows of a fragment lie in different banks.
    static __host__ __device__ int lead_stride(int lead) { return ((lead < kLeads ? lead : kLeads) + 3) / 4 * 4 + 2; }

    static size_t shared_bytes(int lead, int last_tiles) {
        return 2 * (Config::kRows * (last_stride(last_tiles) + lead_stride(lead)) + 2 * kStageElements);
    }
};

// The exponent of a row's lead features.
template <class T>
__device__ __forceinline__ int query_exponent(const HlaParams<T> &p, int64_t row) {
    return lead_exponent<T>(p.factors, [&](int r) {
        const uint4 *pieces = reinterpret_cast<const uint4 *>(p.q[r] + row * p.widths[r]);
        unsigned largest = 0;
        for (int piece = 0; piece < p.widths[r] / 8; ++piece) {
            const uint4 elements = pieces[piece];
#pragma unroll
            for (int e = 0; e < 8; ++e)
                largest = max(largest, finite_bits(widen(reinterpret_cast<const T *>(&elements)[e])));
        }
        return largest;
    });
}

// Scaled lead features first .. of a thread's own row.
template <class T, class Config>
__device__ __forceinline__ void store_query_leads(const HlaParams<T> &p, T *row, int64_t token, bool exists, int first,
                                                  float scale) {
    if (p.factors == 1) {
        row[0] = narrow<T>(exists ? scale : 0.f);
        return;
    }
    const int count = min(HlaReadState<Config>::kLeads, p.lead - first);
    for (int a = 0; a < count; a += 8) {
        LeadRun<T> run;
        run.elements = make_uint4(0, 0, 0, 0);
        run.multiplier = 0.f;
        if (exists) run = load_lead_run<T>(p.q, p.widths, p.factors - 1, token, first + a, scale);
#pragma unroll
        for (int e = 0; e < 8; e += 2)
            *reinterpret_cast<uint32_t *>(row + a + e) = Mma<T>::pack(run.value(e), run.value(e + 1));
    }
}

// Both elements of a register.
template <class T>
__device__ __forceinline__ uint32_t twice(const T *element) {
    const uint32_t bits = *reinterpret_cast<const uint16_t *>(element);
    return bits | bits << 16;
}

// out += features of the block's rows times their state. Own rows are those of `row_exponents`, a thread each.
template <class T, class Config>
__device__ __forceinline__ void read_state(HlaOut<Config> &out, const HlaParams<T> &p, const HlaRows<T> &rows,
                                           int first_column, int own_exponent, unsigned char *memory) {
    using Read = HlaReadState<Config>;
    constexpr int kSteps = Read::kSteps, kFeatures = kSteps * kLastTile, kStride = Read::kStride;
    const int lane = threadIdx.x % 32, warp_row = threadIdx.x / 32 * Config::kRowTiles * 16;
    const int last_tiles = p.last_tiles(), tiles = p.lead * last_tiles;
    const int last_stride = Read::last_stride(last_tiles), lead_stride = Read::lead_stride(p.lead);
    const uint32_t last_panel = shared_address(memory);
    T *leads = reinterpret_cast<T *>(memory) + Config::kRows * last_stride;
    T *stages = leads + Config::kRows * lead_stride;
    const int64_t state = static_cast<int64_t>(rows.pair) * p.states + rows.state();
    const TileCopy<T, kFeatures, Config::kValues, Config::kThreads> values(
        p.state_values + state * p.features * p.shape.value_width + first_column, p.shape.value_width,
        p.shape.value_width - first_column);
    const T *sums = p.state_sums + state * p.features;

    auto load_stage = [&](int tile, int stage) {
        T *to = stages + stage * Read::kStageElements;
        values.load(shared_address(to), tile * kLastTile, p.features);
        const int feature = tile * kLastTile + static_cast<int>(threadIdx.x) * 8;
        if (threadIdx.x < kFeatures / 8)
            copy_async_16(shared_address(to + kFeatures * kStride + threadIdx.x * 8), sums + feature,
                          feature < p.features ? 16 : 0);
        commit_copies();
    };

    const int64_t first_row = rows.base + rows.first;
    copy_rows_async(last_panel, last_stride, last_tiles * 2, Config::kRows, p.q[p.factors - 1] + first_row * p.last,
                    p.last, p.last, 0, rows.limit - rows.first);
    load_stage(0, 0);
    const bool exists = rows.first + static_cast<int>(threadIdx.x) < rows.limit;
    const float scale = power_of_two(own_exponent);
    auto store_leads = [&](int first) {
        T *own = leads + threadIdx.x * lead_stride;
        store_query_leads<T, Config>(p, own, first_row + threadIdx.x, exists, first, scale);
    };
    store_leads(0);

    uint32_t last_part[Config::kRowTiles][4];
    int lead = 0, last_tile = 0;
    for (int tile = 0, stage = 0; tile < tiles; tile += kSteps, stage ^= 1) {
        wait_for_copies<0>();
        __syncthreads();
        if (tile + kSteps < tiles) load_stage(tile + kSteps, stage ^ 1);
        if (p.lead > Read::kLeads && lead % Read::kLeads == 0 && tile > 0) {
            store_leads(lead);
            __syncthreads();
        }
        const T *stage_sums = stages + stage * Read::kStageElements + kFeatures * kStride;
        const uint32_t stage_values = shared_address(stages + stage * Read::kStageElements);
#pragma unroll
        for (int step = 0; step < kSteps; ++step) {
            if (lead == 0) {
#pragma unroll
                for (int m = 0; m < Config::kRowTiles; ++m)
                    load_matrix_x4(last_part[m],
                                   element_address<T>(last_panel, last_stride, warp_row + m * 16 + lane % 16,
                                                      last_tile * kLastTile + lane / 16 * 8));
            }
            FragmentA left[Config::kRowTiles];
            const T *own_leads = leads + (warp_row + lane / 4) * lead_stride + lead % Read::kLeads;
#pragma unroll
            for (int m = 0; m < Config::kRowTiles; ++m) {
                const uint32_t upper = twice(own_leads + m * 16 * lead_stride);
                const uint32_t lower = twice(own_leads + (m * 16 + 8) * lead_stride);
                left[m].x[0] = Mma<T>::scale(last_part[m][0], upper);
                left[m].x[1] = Mma<T>::scale(last_part[m][1], lower);
                left[m].x[2] = Mma<T>::scale(last_part[m][2], upper);
                left[m].x[3] = Mma<T>::scale(last_part[m][3], lower);
            }
#pragma unroll
            for (int n = 0; n < Config::kValueTiles; n += 2) {
                uint32_t right[4];
                load_matrix_x4_transposed(right, element_address<T>(stage_values, kStride, step * kLastTile + lane % 16,
                                                                    n * 8 + lane / 16 * 8));
#pragma unroll
                for (int m = 0; m < Config::kRowTiles; ++m) {
                    Mma<T>::multiply(out.x[m][n], left[m], FragmentB{{right[0], right[1]}});
                    Mma<T>::multiply(out.x[m][n + 1], left[m], FragmentB{{right[2], right[3]}});
                }
            }
            FragmentB weights{{0, 0}};
            if (lane < 4) {
                const uint32_t *from = reinterpret_cast<const uint32_t *>(stage_sums + step * kLastTile);
                weights = FragmentB{{from[lane], from[lane + 4]}};
            }
#pragma unroll
            for (int m = 0; m < Config::kRowTiles; ++m)
                Mma<T>::multiply(out.x[m][Config::kValueTiles], left[m], weights);
            if (++lead == p.lead) {
                lead = 0;
                last_tile = min(last_tile + 1, last_tiles - 1);
            }
        }
    }
    wait_for_copies<0>();
    __syncthreads();
}

// grid: (tiles of rows * columns / kValues, pairs, splits of the keys).
template <class T, class Config>
__global__ __launch_bounds__(Config::kThreads, Config::kBlocks) void hla_output(const HlaParams<T> p, int stages) {
    const Shape &shape = p.shape;
    const int lane = threadIdx.x % 32, warp_row = threadIdx.x / 32 * Config::kRowTiles * 16;
    const int chunks = (shape.value_width + Config::kValues - 1) / Config::kValues;
    const int first_column = static_cast<int>(blockIdx.x) % chunks * Config::kValues;
    const HlaRows<T> rows(p, blockIdx.x / chunks, Config::kRows);
    int *of_rows = reinterpret_cast<int *>(dynamic_shared());  // exponents, later numbers of keys
    unsigned char *memory = dynamic_shared() + Config::kRows * sizeof(int);

    HlaOut<Config> out;
    out.clear();
    if (p.states > 0) {
        const int own = rows.first + static_cast<int>(threadIdx.x);
        const int own_exponent = own < rows.limit ? query_exponent(p, rows.base + own) : 0;
        of_rows[threadIdx.x] = own_exponent;
        read_state<T, Config>(out, p, rows, first_column, own_exponent, memory);
        const unsigned *maxima = state_maxima(p, rows.pair, rows.state());
        const int keys = key_exponent(p, rows.pair);
        const int of_values = keys + state_exponent(maxima[0]), of_sums = keys + state_exponent(maxima[1]);
#pragma unroll
        for (int m = 0; m < Config::kRowTiles; ++m)
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                const int exponent = of_rows[warp_row + m * 16 + half * 8 + lane / 4];
                out.take_exponents(m, half, exponent + of_values, exponent + of_sums);
            }
    }
    const KeyRange range = rows.pair_keys(Config::kRows, blockIdx.z, Config::kKeys);
    if (range.low < range.high) add_pairs<T, Config>(out, p, rows, first_column, range, stages, of_rows, memory);

    const int64_t first_row = rows.base + rows.first;
    T *staged = reinterpret_cast<T *>(memory) + warp_row * (Config::kValues + 8);
    __syncthreads();
#pragma unroll
    for (int m = 0; m < Config::kRowTiles; ++m)
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const int local = m * 16 + half * 8 + lane / 4;
            const float sum = out.sum_of_weights(m, half);
            if (p.partial_values != nullptr) {
                if (rows.first + warp_row + local >= rows.limit) continue;
                const int64_t total = static_cast<int64_t>(shape.pairs()) * shape.group_rows();
                const int64_t at = blockIdx.z * total + first_row + warp_row + local;
                if (first_column == 0 && lane % 4 == 0)
                    p.partial_sums[at] = make_float2(sum, static_cast<float>(out.exponents[m][half]));
#pragma unroll
                for (int n = 0; n < Config::kValueTiles; ++n) {
                    const int column = first_column + n * 8 + lane % 4 * 2;
                    if (column < shape.value_width)
                        *reinterpret_cast<float2 *>(p.partial_values + at * shape.value_width + column) =
                            make_float2(out.x[m][n].x[half * 2], out.x[m][n].x[half * 2 + 1]);
                }
                continue;
            }
            const float factor = inverse_of_sum(sum, p.eps, out.exponents[m][half]);
#pragma unroll
            for (int n = 0; n < Config::kValueTiles; ++n)
                *reinterpret_cast<uint32_t *>(staged + local * (Config::kValues + 8) + n * 8 + lane % 4 * 2) =
                    Mma<T>::pack(out.x[m][n].x[half * 2] * factor, out.x[m][n].x[half * 2 + 1] * factor);
        }
    if (p.partial_values != nullptr) return;

    __syncwarp();
    for (int piece = lane; piece < Config::kRowTiles * 16 * Config::kValues / 8; piece += 32) {
        const int local = piece / (Config::kValues / 8), column = piece % (Config::kValues / 8) * 8;
        if (rows.first + warp_row + local >= rows.limit || first_column + column >= shape.value_width) continue;
        T *to = p.out + (first_row + warp_row + local) * shape.value_width + first_column + column;
        *reinterpret_cast<uint4 *>(to) =
            *reinterpret_cast<const uint4 *>(staged + local * (Config::kValues + 8) + column);
    }
}

}  // namespace attnexport
