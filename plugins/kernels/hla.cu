// Hadamard linear attention: linear attention whose weights are products of the kernels of several factors.
#include "hla/combine.cuh"
#include "hla/output.cuh"
#include "hla/scan.cuh"
#include "hla/simt.cuh"
#include "hla/states.cuh"

#include <common/plan.h>
#include <forward/splits.cuh>

#include <algorithm>

namespace attnexport {
namespace {

constexpr attnexport_input kInputs[] = {{"query_factors", "num_query_factors", 0},
                                        {"key_factors", "num_key_factors", 0},
                                        {"v", nullptr, 0},
                                        {"kv_lengths", nullptr, 1},
                                        {"q_start", nullptr, 1}};

enum Attribute { kQueryFactors, kKeyFactors, kCausal, kEps };
constexpr attnexport_attribute kAttributes[] = {{"num_query_factors", ATTNEXPORT_INTEGER},
                                                {"num_key_factors", ATTNEXPORT_INTEGER},
                                                {"causal", ATTNEXPORT_INTEGER},
                                                {"eps", ATTNEXPORT_NUMBER}};

using Narrow = HlaOutputConfig<8>;
using Wide = HlaOutputConfig<16>;

constexpr int kWidestLast = 256;  // with tensor cores a block keeps the last factor of its rows
constexpr int64_t kMostFeatures = 1 << 24;
constexpr int kSmallestChunk = 256, kLargestChunk = 4096;
constexpr int kBlocksOfMultiprocessor = 4, kKeysOfSplit = 256;  // what splits aim at

template <class Config, class T>
size_t output_bytes(const HlaParams<T> &p, int stages) {
    const size_t staged = sizeof(uint16_t) * Config::kRows * (Config::kValues + 8);
    const size_t reading = p.states > 0 ? HlaReadState<Config>::shared_bytes(p.lead, p.last_tiles()) : 0;
    const size_t pairs = stages > 0 ? HlaPairMemory<Config>::shared_bytes(p.widths, p.factors, stages) : 0;
    return Config::kRows * sizeof(int) + std::max({staged, reading, pairs});
}

template <class Kernel, class... Args>
int launch_blocks(Kernel kernel, dim3 grid, int threads, size_t shared, cudaStream_t stream, Args... args) {
    if (cudaFuncSetAttribute(reinterpret_cast<const void *>(kernel), cudaFuncAttributeMaxDynamicSharedMemorySize,
                             static_cast<int>(shared)) != cudaSuccess)
        return ATTNEXPORT_CUDA_ERROR;
    return launch_kernel(kernel, grid, dim3(threads), shared, stream, args...) == cudaSuccess ? ATTNEXPORT_OK
                                                                                              : ATTNEXPORT_CUDA_ERROR;
}

inline int64_t ceil_div(int64_t x, int64_t y) { return (x + y - 1) / y; }

template <class T>
struct HlaPlan {
    HlaParams<T> p{};
    int stages = 0;  // of the pairs' key tiles; none: no pairs
    size_t output_shared = 0;
    size_t bytes = 0;

    const Shape &shape() const { return p.shape; }

    int prepare(const attnexport_call &raw, void *base) {
        const int status = read(raw);
        if (status != ATTNEXPORT_OK) return status;
        choose_states();
        take_workspace(base);
        return ATTNEXPORT_OK;
    }

    int launch(const Device &device, cudaStream_t stream) {
        if (total_rows(p.shape) == 0) return ATTNEXPORT_OK;
        const bool tensor_cores = fits_tensor_cores() && fits_shared_memory(device);
        if (!tensor_cores) p.features = p.lead * p.last;
        choose_splits(device, tensor_cores);
        int status = ATTNEXPORT_UNSUPPORTED;
        if constexpr (sizeof(T) == 2) {
            if (tensor_cores && !wide()) status = launch_on_tensor_cores<Narrow>(stream);
            if constexpr (kMaxWidth > Narrow::kValues)
                if (tensor_cores && wide()) status = launch_on_tensor_cores<Wide>(stream);
        }
        if (!tensor_cores) status = launch_simt_kernels(stream);
        if (status != ATTNEXPORT_OK || p.states > 0 || p.splits == 1) return status;
        const int64_t elements = static_cast<int64_t>(total_rows(p.shape)) * p.shape.value_width;
        const dim3 blocks(static_cast<unsigned>(ceil_div(elements, kScanThreads)));
        return launch_blocks(hla_combine<T>, blocks, kScanThreads, 0, stream, p);
    }

  private:
    int read(const attnexport_call &raw) {
        const Call call(raw);
        const int64_t factors = call.integer(kQueryFactors);
        if (factors < 1 || factors != call.integer(kKeyFactors)) return ATTNEXPORT_INVALID;
        if (factors > kMaxFactors) return ATTNEXPORT_UNSUPPORTED;
        p.factors = static_cast<int>(factors);
        const int value = 2 * p.factors;
        const int status = call.read_shape(0, p.factors, value, value + 1, call.integer(kCausal) != 0, &p.shape);
        if (status != ATTNEXPORT_OK) return status;
        const Shape &s = p.shape;
        if (s.value_width < 1 || s.value_width > kMaxWidth) return ATTNEXPORT_UNSUPPORTED;
        int64_t features = 1;
        for (int r = 0; r < p.factors; ++r) {
            const int64_t width = call.tensor(r).rank == 4 ? call.tensor(r).dims[3] : 0;
            if (width < 1) return ATTNEXPORT_INVALID;
            if (!call.matches(r, s.batch, s.heads, s.rows, width) ||
                !call.matches(p.factors + r, s.batch, s.kv_heads, s.keys, width))
                return ATTNEXPORT_INVALID;
            features = std::min(kMostFeatures + 1, features * std::min(kMostFeatures + 1, width));
            if (features > kMostFeatures) return ATTNEXPORT_UNSUPPORTED;
            p.widths[r] = static_cast<int>(width);
            p.q[r] = call.data<T>(r);
            p.k[r] = call.data<T>(p.factors + r);
        }
        p.v = call.data<T>(value);
        p.out = call.output<T>();
        p.eps = call.number(kEps);
        put_widest_last();
        p.last = p.widths[p.factors - 1];
        p.lead = static_cast<int>(features / p.last);
        p.features = p.lead * (fits_tensor_cores() ? p.last_tiles() * kLastTile : p.last);
        return ATTNEXPORT_OK;
    }

    // The order of the factors is free; whole tiles come first, then the widest.
    void put_widest_last() {
        const auto worth = [&](int r) {
            const int width = p.widths[r];
            return width > kWidestLast ? 0 : width + (width % kLastTile == 0 ? kWidestLast : 0);
        };
        int best = p.factors - 1;
        for (int r = p.factors - 2; r >= 0; --r)
            if (worth(r) > worth(best)) best = r;
        std::swap(p.widths[best], p.widths[p.factors - 1]);
        std::swap(p.q[best], p.q[p.factors - 1]);
        std::swap(p.k[best], p.k[p.factors - 1]);
    }

    // Pair by pair costs rows x keys x widths, states cost (rows + keys) x features. Pairs alone are taken only where
    // the smaller of rows and keys is below a bound that the widths set, so that work stays linear.
    void choose_states() {
        const Shape &s = p.shape;
        int64_t widths = 0;
        for (int r = 0; r < p.factors; ++r) widths += p.widths[r];
        const double rows = static_cast<double>(ceil_div(s.group_rows(), Narrow::kRows) * Narrow::kRows), keys = s.keys;
        const double pairs = rows * keys * static_cast<double>(widths + s.value_width);
        const double states = (rows + keys) * static_cast<double>(p.features) * s.value_width;
        // Going through half a chunk pair by pair then costs less than a row's features, and writing states no more.
        p.chunk = std::max(kSmallestChunk, std::min(kLargestChunk, p.features / Narrow::kRows * Narrow::kRows));
        if (2 * pairs <= states)
            p.states = 0;
        else
            p.states = s.causal ? static_cast<int>(ceil_div(std::max(s.rows, 1), p.chunk)) : 1;
    }

    bool wide() const { return p.shape.value_width > Narrow::kValues; }

    bool fits_tensor_cores() const {
        bool whole = sizeof(T) == 2 && p.shape.value_width % 8 == 0 && p.last <= kWidestLast;
        for (int r = 0; r < p.factors; ++r) whole = whole && p.widths[r] % 8 == 0;
        return whole;
    }

    bool fits_shared_memory(const Device &device) {
        const size_t limit = static_cast<size_t>(device.shared_bytes);
        if (p.states > 0 && HlaStates::shared_bytes(p.lead, p.last_tiles()) > limit) return false;
        const auto fits = [&](int tried) {
            stages = tried;
            output_shared = wide() ? output_bytes<Wide>(p, stages) : output_bytes<Narrow>(p, stages);
            return output_shared <= limit;
        };
        return p.states == 0 || p.shape.causal ? fits(2) || fits(1) : fits(0);
    }

    static int64_t most_splits(int64_t keys) {
        return std::max<int64_t>(1, std::min<int64_t>(kMostSplits, ceil_div(keys, kKeysOfSplit)));
    }

    // Parts of the first states' keys, of all pairs together, that there is workspace for.
    int64_t most_first_units() const {
        const int64_t pairs = p.shape.pairs();
        const int64_t filling = kBlocksOfMultiprocessor * kMostMultiprocessors / state_blocks(true);
        return std::min(pairs * most_splits(p.shape.keys), std::max(pairs, filling));
    }

    // As many parts of the keys as fill the device, as far as there is workspace.
    void choose_splits(const Device &device, bool tensor_cores) {
        const Shape &s = p.shape;
        const int64_t keys = p.states == 0 || !s.causal ? s.keys : std::max(0, s.keys - s.rows);
        const int64_t wanted = kBlocksOfMultiprocessor * std::min(device.multiprocessors, kMostMultiprocessors);
        const int64_t blocks = s.pairs() * (p.states == 0 ? output_tiles(tensor_cores) : state_blocks(tensor_cores));
        const int64_t room = p.states == 0 ? most_split_parts(s) / total_rows(s) : most_first_units() / s.pairs();
        const int64_t splits = blocks >= wanted / 2 ? 1 : std::min({wanted / blocks, most_splits(keys), room});
        p.splits = static_cast<int>(std::max<int64_t>(1, splits));
        if (p.states > 0 || p.splits == 1) p.partial_values = nullptr;
    }

    int64_t state_blocks(bool tensor_cores) const {
        const int64_t tile = tensor_cores ? HlaStates::kTiles * kLastTile : HlaSimt::kSize;
        return ceil_div(p.features, tile) * ceil_div(p.shape.value_width, HlaStates::kValues);
    }

    int64_t output_tiles(bool tensor_cores) const {
        const int rows = tensor_cores ? Narrow::kRows : HlaSimt::kSize;
        const int columns = tensor_cores && wide() ? Wide::kValues : Narrow::kValues;
        const int64_t heads = p.by_head() ? p.shape.heads / p.shape.kv_heads : 1;
        return heads * ceil_div(p.tiled_rows(), rows) * ceil_div(p.shape.value_width, columns);
    }

    size_t maxima_count() const { return static_cast<size_t>(p.shape.pairs()) * (p.factors + 2 * p.states); }

    // Enough for every smaller shape and for every device: shapes with states contain some without.
    void take_workspace(void *base) {
        const size_t pairs = static_cast<size_t>(p.shape.pairs()), parts = most_split_parts(p.shape);
        Workspace for_pairs(base);
        p.partial_values = for_pairs.take<float>(parts * p.shape.value_width);
        p.partial_sums = for_pairs.take<float2>(parts);
        Workspace for_states(base);
        if (p.states > 0) {
            const size_t units = static_cast<size_t>(most_first_units()) + pairs * (p.states - 1);
            p.sums = for_states.take<float>(units * p.state_floats());
            if (fits_tensor_cores()) {
                p.state_values = for_states.take<T>(pairs * p.states * p.features * p.shape.value_width);
                p.state_sums = for_states.take<T>(pairs * p.states * p.features);
                p.maxima = for_states.take<unsigned>(maxima_count());
            }
        }
        bytes = std::max(for_pairs.used(), for_states.used());
    }

    dim3 grid(int64_t blocks, int layers = 1) const {
        const int pairs = p.shape.pairs();
        return dim3(static_cast<unsigned>(blocks), static_cast<unsigned>(pairs), static_cast<unsigned>(layers));
    }

    dim3 scan_grid() const { return grid(ceil_div(p.state_floats(), kScanThreads)); }

    dim3 output_grid(bool tensor_cores) const { return grid(output_tiles(tensor_cores), p.states == 0 ? p.splits : 1); }

    template <class Config>
    int launch_on_tensor_cores(cudaStream_t stream) const {
        if (p.states > 0) {
            const int status = launch_states(stream);
            if (status != ATTNEXPORT_OK) return status;
        }
        return launch_blocks(hla_output<T, Config>, output_grid(true), Config::kThreads, output_shared, stream, p,
                             stages);
    }

    int launch_states(cudaStream_t stream) const {
        if (cudaMemsetAsync(p.maxima, 0, maxima_count() * sizeof(unsigned), stream) != cudaSuccess)
            return ATTNEXPORT_CUDA_ERROR;
        constexpr int kPiecesOfThread = 4;
        const int64_t widest = *std::max_element(p.widths, p.widths + p.factors);
        const int64_t blocks = ceil_div(std::max(1, p.shape.keys) * widest, 8 * kScanThreads * kPiecesOfThread);
        int status = launch_blocks(hla_key_maxima<T>, grid(blocks, p.factors), kScanThreads, 0, stream, p);
        if (status != ATTNEXPORT_OK) return status;
        status = launch_blocks(hla_states<T>, grid(state_blocks(true) * p.units()), HlaStates::kThreads,
                               HlaStates::shared_bytes(p.lead, p.last_tiles()), stream, p);
        if (status != ATTNEXPORT_OK) return status;
        status = launch_blocks(hla_scan<T, true>, scan_grid(), kScanThreads, 0, stream, p);
        if (status != ATTNEXPORT_OK) return status;
        const dim3 halves = grid(ceil_div(p.state_floats() / 2, kScanThreads) * p.states);
        return launch_blocks(hla_round_states<T>, halves, kScanThreads, 0, stream, p);
    }

    int launch_simt_kernels(cudaStream_t stream) const {
        if (p.states > 0) {
            int status = launch_blocks(hla_states_simt<T>, grid(state_blocks(false) * p.units()), HlaSimt::kThreads,
                                       sizeof(HlaSimt::Panels), stream, p);
            if (status != ATTNEXPORT_OK) return status;
            if (p.units() > 1) status = launch_blocks(hla_scan<T, false>, scan_grid(), kScanThreads, 0, stream, p);
            if (status != ATTNEXPORT_OK) return status;
        }
        return launch_blocks(hla_output_simt<T>, output_grid(false), HlaSimt::kThreads, sizeof(HlaSimt::Panels), stream,
                             p);
    }
};

const attnexport_op op = describe_plan<HlaPlan>("HadamardLinearAttention", kInputs, kAttributes);
const Registration registration(op);

}  // namespace
}  // namespace attnexport
