// Which keys a row sees: the counterpart of exporter/variants/visibility.py.
#pragma once

#include <attnexport/params.h>

namespace attnexport {

// Keys low <= j < high.
struct KeyRange {
    int low;
    int high;
};

// Position of query row i among the keys.
__device__ __forceinline__ int row_position(const attnexport_shape &shape, int batch, int i) {
    const int start = shape.q_start != nullptr ? shape.q_start[batch] : shape.keys - shape.rows;
    return start + i;
}

// Number of keys that exist for a sample: its length, between 0 and the keys.
__device__ __forceinline__ int present_keys(const attnexport_shape &shape, int batch) {
    if (shape.kv_lengths == nullptr) return shape.keys;
    return max(0, min(shape.keys, shape.kv_lengths[batch]));
}

// Number of keys that row i sees: j < L and (not causal or j <= position).
__device__ __forceinline__ int visible_count(const attnexport_shape &shape, int batch, int i) {
    int count = present_keys(shape, batch);
    if (shape.causal) count = min(count, row_position(shape, batch, i) + 1);
    return max(count, 0);
}

// The visible keys, within |position - j| < window where window is positive.
__device__ __forceinline__ KeyRange visible_keys(const attnexport_shape &shape, int window, int batch, int i) {
    KeyRange range{0, visible_count(shape, batch, i)};
    if (window > 0) {
        const int position = row_position(shape, batch, i);
        range.low = max(0, position - window + 1);
        range.high = min(range.high, position + window);
    }
    range.high = max(range.high, 0);
    range.low = min(range.low, range.high);
    return range;
}

}  // namespace attnexport
