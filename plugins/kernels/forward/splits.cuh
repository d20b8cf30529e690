// How many parts the keys of a call are split into, and the bounds that its workspace is laid out by.
#pragma once

#include <forward/attention_forward_simt.cuh>
#include <forward/combine_splits.cuh>
#include <forward/tile_sizes.cuh>

#include <algorithm>

namespace attnexport {

template <class T>
bool uses_tensor_cores(const Shape &s) {
    return sizeof(T) == 2 && s.width % 8 == 0 && s.value_width % 8 == 0;
}

// Rows per block of the instantiation that serves this shape.
template <class T>
int rows_per_block(const Shape &s) {
    if (s.group_rows() <= kFewRows) return kFewRows;
    const bool wide = std::max(s.width, s.value_width) > 128;
    if (uses_tensor_cores<T>(s)) return wide ? 64 : 128;
    return wide ? 32 : 64;
}

// A workspace must do for every smaller shape and on every device, since TensorRT reserves it when it builds an engine:
// no more multiprocessors than these are counted on, and what splits need is bounded by these numbers alone.
constexpr int kMostMultiprocessors = 160, kMostBlockRows = 128;
constexpr int kMostSplitPairs =
    2 * kMostMultiprocessors * kMostBlockRows / kFewRows;  // parts of all pairs with few rows

inline size_t total_rows(const Shape &s) { return static_cast<size_t>(s.batch) * s.heads * s.rows; }

// Largest number of rows whose keys are split for a selection, of all parts of rows, and of the parts of pairs.
inline size_t most_split_rows(const Shape &s) {
    return std::min<size_t>(total_rows(s), kMostMultiprocessors * kMostBlockRows);
}

inline size_t most_split_parts(const Shape &s) {
    return std::min<size_t>(total_rows(s) * kMostSplits, 2 * kMostMultiprocessors * kMostBlockRows);
}

inline size_t most_split_pairs(const Shape &s) {
    return std::min<size_t>(static_cast<size_t>(s.pairs()) * kMostSplits, kMostSplitPairs);
}

// The tiles of keys that a block of rows walks over.
inline int key_tiles(const Shape &s, int window, int block_rows) {
    constexpr int kTileKeys = 64;
    const int keys = window > 0 ? std::min<int64_t>(s.keys, 2LL * window + block_rows) : s.keys;
    return (keys + kTileKeys - 1) / kTileKeys;
}

// So many parts that blocks too few for the device become the wanted number.
template <class T>
int filling_splits(const Shape &s, int window, const Device &device, int wanted_per_multiprocessor) {
    const int block_rows = rows_per_block<T>(s), tiles = key_tiles(s, window, block_rows);
    const int multiprocessors = std::min(device.multiprocessors, kMostMultiprocessors);
    const int64_t blocks = static_cast<int64_t>(s.pairs()) * ((s.group_rows() + block_rows - 1) / block_rows);
    if (blocks == 0 || blocks >= multiprocessors || tiles < 8) return 1;
    const int wanted = static_cast<int>((wanted_per_multiprocessor * multiprocessors + blocks - 1) / blocks);
    return std::max(1, std::min({wanted, tiles / 4, kMostSplits}));
}

// Blocks of few rows that run at a time.
template <class T>
int few_rows_slots(const Shape &s, const Device &device) {
    const size_t bytes = for_width(std::max(s.width, s.value_width), [&](auto width) {
        return uses_tensor_cores<T>(s) ? FewRows<width>::template shared_bytes<T>()
                                       : simt_shared_bytes<SimtFewRows<kMaxWidth>>();
    });
    return std::min(device.multiprocessors, kMostMultiprocessors) * std::max(1, device.resident_blocks(bytes));
}

// The number of parts at which the blocks of few rows are done soonest: all run for about as long, one wave of them
// after the other, and what a block does beside its tiles takes as long as kOverhead of them.
inline int splits_of_few_rows(int pairs, int tiles, int slots) {
    constexpr int kOverhead = 2;
    const int most = std::min({tiles / 4, kMostSplits, kMostSplitPairs / pairs});
    int best = 1;
    int64_t shortest = INT64_MAX;
    for (int splits = 1; splits <= most; ++splits) {
        const int64_t waves = (static_cast<int64_t>(pairs) * splits + slots - 1) / slots;
        const int64_t time = waves * ((tiles + splits - 1) / splits + kOverhead);
        if (time < shortest) {
            shortest = time;
            best = splits;
        }
    }
    return best;
}

template <class T>
int choose_splits(const Shape &s, int window, const Device &device) {
    if (s.group_rows() > kFewRows) return filling_splits<T>(s, window, device, 1);
    const int tiles = key_tiles(s, window, kFewRows);
    if (s.pairs() == 0 || s.group_rows() == 0 || tiles < 8) return 1;
    return splits_of_few_rows(s.pairs(), tiles, few_rows_slots<T>(s, device));
}

// A selection reads the keys several times where they are split, so that they are only where the device has room.
template <class T>
int choose_select_splits(const Shape &s, int window, const Device &device) {
    return filling_splits<T>(s, window, device, s.group_rows() <= kFewRows ? 4 : 1);
}

}  // namespace attnexport
