// Which keys a row sees: the counterpart of exporter/variants/visibility.py, windows and grids included.
#pragma once

#include <common/shape.h>
#include <common/platform.cuh>

#include <climits>

namespace attnexport {

// Keys low <= j < high.
struct KeyRange {
    int low;
    int high;
};

// Position of query row i among the keys. Starts far outside the keys are all the same, and must not overflow.
__device__ __forceinline__ int row_position(const Shape &shape, int batch, int i) {
    constexpr int kFar = INT_MAX / 4;
    const int start = shape.q_start != nullptr ? shape.q_start[batch] : shape.keys - shape.rows;
    return max(-2 * kFar, min(2 * kFar, start)) + min(i, kFar);
}

// Number of keys that exist for a sample: its length, between 0 and the keys.
__device__ __forceinline__ int present_keys(const Shape &shape, int batch) {
    if (shape.kv_lengths == nullptr) return shape.keys;
    return max(0, min(shape.keys, shape.kv_lengths[batch]));
}

// Number of keys that row i sees: j < L and (not causal or j <= position).
__device__ __forceinline__ int visible_count(const Shape &shape, int batch, int i) {
    int count = present_keys(shape, batch);
    if (shape.causal) count = min(count, row_position(shape, batch, i) + 1);
    return max(count, 0);
}

// Smallest range that holds the visible keys of row i's neighbourhood. Within it a grid may exclude some: see sees().
__device__ __forceinline__ KeyRange visible_keys(const Shape &shape, const Neighbourhood &near, int batch, int i) {
    KeyRange range{0, visible_count(shape, batch, i)};
    if (near.window > 0) {
        const int position = row_position(shape, batch, i);
        range.low = max(0, position - near.window + 1);
        range.high = min(range.high, position + near.window);
    } else if (near.grid_width > 0 && i >= near.prefix) {
        const int64_t across = static_cast<int64_t>(near.radius) * near.grid_width + (near.manhattan ? 0 : near.radius);
        const int reach = static_cast<int>(min(across, static_cast<int64_t>(shape.keys)));
        if (near.prefix == 0) range.low = max(0, i - reach);
        range.high = min(range.high, max(near.prefix, i + reach + 1));
    }
    range.high = max(range.high, 0);
    range.low = min(range.low, range.high);
    return range;
}

struct Cell {
    int row;
    int column;
};

// Cell of token i; meaningless for a prefix token.
__device__ __forceinline__ Cell cell_of(const Neighbourhood &near, int i) {
    const int cell = i - near.prefix, row = cell / near.grid_width;
    return Cell{row, cell - row * near.grid_width};
}

// Whether the grid lets row i see key j.
__device__ __forceinline__ bool grid_sees(const Neighbourhood &near, int i, Cell at, int j) {
    if (i < near.prefix || j < near.prefix) return true;
    const Cell key = cell_of(near, j);
    const int down = abs(key.row - at.row), right = abs(key.column - at.column);
    return near.manhattan ? down + right <= near.radius : max(down, right) <= near.radius;
}

// Whether any of rows first .. last can see any of keys begin .. end - 1 through the grid; may say yes too often.
__device__ __forceinline__ bool grid_touches(const Neighbourhood &near, int first, int last, int begin, int end) {
    if (first < near.prefix || begin < near.prefix) return true;
    for (int down = -near.radius; down <= near.radius; ++down) {
        const int64_t shift = static_cast<int64_t>(down) * near.grid_width;
        if (begin <= last + shift + near.radius && end > first + shift - near.radius) return true;
    }
    return false;
}

}  // namespace attnexport
