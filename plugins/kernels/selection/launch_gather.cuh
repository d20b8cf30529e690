// Chooses among the kernels that gather the values of few selected keys, lays their memory out and launches them.
#pragma once

#include <forward/launch.cuh>
#include <selection/list_rows.cuh>
#include <selection/select_from_scores.cuh>

#include <cstdint>

namespace attnexport {

// How a selection is made: one kernel for the thresholds of rows and one for the result; whole rows by lists of
// candidates; few rows by their scores in memory.
enum class SelectionWay { kThresholds, kLists, kScores };

// Warps that run at a time, each with lists of its own for 16 rows.
constexpr int kListWarpsOfMultiprocessor = 12, kMostListWarps = kListWarpsOfMultiprocessor * kMostMultiprocessors;
constexpr int kListRows = 64;

// At most so many scores lie in memory: of at most kFewRows rows a pair, or of so few blocks of rows that these would
// leave most of a device idle.
constexpr int64_t kMostScores = int64_t{1} << 24;
constexpr int kFewListBlocks = 64, kManyKeys = 1024;

// Blocks of so many rows.
inline int64_t row_blocks(const Shape &s, int rows = kListRows) {
    return static_cast<int64_t>(s.pairs()) * ((s.group_rows() + rows - 1) / rows);
}

inline int64_t list_warps(const Shape &s) { return std::min<int64_t>(row_blocks(s) * kListRows / 16, kMostListWarps); }

inline int64_t score_stride(const Shape &s) {
    return (static_cast<int64_t>(s.keys) + kScoreTile - 1) / kScoreTile * kScoreTile;
}

inline bool writes_scores(const Shape &s, int wanted) {
    const bool few = s.group_rows() <= kFewRows || (row_blocks(s) <= kFewListBlocks && s.keys > kManyKeys);
    return few && wanted <= kMostKept && static_cast<int64_t>(total_rows(s)) * score_stride(s) <= kMostScores;
}

template <class T>
SelectionWay way_of_selection(const Shape &s, int wanted) {
    if (!uses_tensor_cores<T>(s)) return SelectionWay::kThresholds;
    if (writes_scores(s, wanted)) return SelectionWay::kScores;
    const bool wide = std::max(s.width, s.value_width) > 128;
    return !wide && wanted <= kMostKept ? SelectionWay::kLists : SelectionWay::kThresholds;
}

// Room for the candidates of a lane and row. The largest score of `wanted` of 128 groups reaches the bound, so that of
// 32 groups -32 log(1 - wanted / 128) keys do on average, if they lie anywhere: 2 of 8, 9 of 32, 22 of 64, 49 of 100.
inline int list_slots(int wanted) { return wanted <= 16 ? kMostSlots / 2 : kMostSlots; }

// Of a warp's lists, a power of two: they lie in an aligned 4 GiB.
inline size_t list_bytes(int wanted) { return 2 * list_slots(wanted) * 32 * sizeof(Candidate); }

// Tiles of keys up to which multiplying all values takes less time than gathering some.
constexpr int kFewTiles = 24;

// Memory of either way, which is enough for every smaller shape.
template <class T>
size_t gather_bytes(const Shape &s, int wanted) {
    if (sizeof(T) != 2 || wanted > kMostKept) return 0;
    const int64_t pairs = s.pairs();
    const int64_t rows =
        std::min<int64_t>(total_rows(s), std::max<int64_t>(pairs * kFewRows, kFewListBlocks * kListRows));
    const int64_t scores = std::min(rows * score_stride(s), kMostScores) * static_cast<int64_t>(sizeof(float));
    const int64_t lists = (list_warps(s) + 1) * static_cast<int64_t>(list_bytes(wanted));  // one for the alignment
    return static_cast<size_t>(std::max(scores, lists));
}

template <class Variant, class T, class Config, ResultOf kResult>
struct ListRows {
    static constexpr size_t bytes = list_shared_bytes<Variant, T, Config>;

    static int launch(const ParamsOf<Variant, T> &p, const ListParams &params, const Device &device,
                      cudaStream_t stream) {
        const auto kernel = list_rows<Variant, T, Config, kResult>;
        if (cudaFuncSetAttribute(reinterpret_cast<const void *>(kernel), cudaFuncAttributeMaxDynamicSharedMemorySize,
                                 static_cast<int>(bytes)) != cudaSuccess)
            return ATTNEXPORT_CUDA_ERROR;
        const int resident =
            std::min(device.resident_blocks(bytes), list_blocks<Variant, Config, kResult>(device.major));
        const int64_t blocks = std::min({static_cast<int64_t>(resident) * device.multiprocessors,
                                         list_warps(p.shape) / Config::kWarps, row_blocks(p.shape, Config::kRows)});
        const dim3 grid(static_cast<unsigned>(blocks));
        return launch_kernel(kernel, grid, dim3(Config::kThreads), bytes, stream, p, params) == cudaSuccess
                   ? ATTNEXPORT_OK
                   : ATTNEXPORT_CUDA_ERROR;
    }
};

template <class Variant, class T>
int launch_list_rows(const ParamsOf<Variant, T> &p, int wanted, void *memory, const Device &device,
                     cudaStream_t stream) {
    const uintptr_t alignment = list_bytes(wanted), place = reinterpret_cast<uintptr_t>(memory);
    const ListParams params{wanted, list_slots(wanted),
                            reinterpret_cast<Candidate *>((place + alignment - 1) / alignment * alignment)};
    const bool few = key_tiles(p.shape, p.neighbourhood.window, kListRows) <= kFewTiles;
    using Hopper = sm90::ListPath<Variant, T>;
    if (!few && list_slots(wanted) == kMostSlots && Hopper::serves(p, wanted, device))
        return Hopper::launch(p, params, list_warps(p.shape), device, stream);
    const auto launch = [&](auto width) {
        using Config = ListedRows<width, 4>;
        using OfAll = ListRows<Variant, T, Config, ResultOf::kAllValues>;
        using OfKept = ListRows<Variant, T, Config, ResultOf::kKeptValues>;
        return few ? launch_fitting<OfAll>(device, p, params, device, stream)
                   : launch_fitting<OfKept>(device, p, params, device, stream);
    };
    if constexpr (kMaxWidth > 64)
        if (std::max(p.shape.width, p.shape.value_width) > 64) return launch(std::integral_constant<int, 128>{});
    return launch(std::integral_constant<int, 64>{});
}

template <class Variant, class T>
int launch_score_rows(ParamsOf<Variant, T> p, int wanted, void *memory, const Device &device, cudaStream_t stream) {
    const Shape &s = p.shape;
    const ScoreParams scores{wanted, static_cast<int>(score_stride(s)), static_cast<float *>(memory)};
    const int status = for_width(s.width, [&](auto width) {
        using Config = FewRows<width>;
        constexpr size_t bytes = SelectBlock<Variant, T, Config>::shared_bytes;
        const int slots =
            std::min(device.multiprocessors, kMostMultiprocessors) * std::max(1, device.resident_blocks(bytes));
        const int tiles = key_tiles(s, p.neighbourhood.window, Config::kRows);
        const int blocks = s.pairs() * ((s.group_rows() + Config::kRows - 1) / Config::kRows);
        p.splits = tiles < 8 ? 1 : splits_of_few_rows(blocks, tiles, slots);
        return launch_rows(write_scores<Variant, T, Config>, bytes, Config::kRows, Config::kThreads, s, p.splits,
                           stream, p, scores);
    });
    if (status != ATTNEXPORT_OK) return status;
    int threads = s.keys > kScoreGroups ? kScoreGroups : kScoreGroups / 2;
    while (threads < kMostScoreThreads && threads * 32 < s.keys) threads *= 2;
    const dim3 grid(static_cast<unsigned>(total_rows(s)));
    return launch_kernel(select_from_scores<Variant, T>, grid, dim3(threads), 0, stream, p, scores) == cudaSuccess
               ? ATTNEXPORT_OK
               : ATTNEXPORT_CUDA_ERROR;
}

// Writes the result of a selection in one of the ways that gather.
template <class Variant, class T>
int launch_gather(const ParamsOf<Variant, T> &p, SelectionWay way, int wanted, void *memory, const Device &device,
                  cudaStream_t stream) {
    if (total_rows(p.shape) == 0) return ATTNEXPORT_OK;
    return way == SelectionWay::kLists ? launch_list_rows<Variant>(p, wanted, memory, device, stream)
                                       : launch_score_rows<Variant>(p, wanted, memory, device, stream);
}

}  // namespace attnexport
