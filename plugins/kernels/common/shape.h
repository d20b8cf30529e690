// Sizes and visibility of a call, the same for every operator, and the neighbourhood that narrows it.
#pragma once

#include <cuda_runtime.h>

namespace attnexport {

struct Shape {
    int batch;
    int heads;
    int kv_heads;     // divides heads
    int rows;         // N, query rows
    int keys;         // M, key rows
    int width;        // Dk
    int value_width;  // Dv
    int dtype;        // attnexport_dtype
    bool causal;
    const int *kv_lengths;  // (batch,) or null
    const int *q_start;     // (batch,) or null

    // A pair is a sample and one of its key heads; its rows are those of the group of query heads that share it.
    __host__ __device__ int pairs() const { return batch * kv_heads; }
    __host__ __device__ int group_rows() const { return rows * (heads / kv_heads); }

    // Whether the rows of a sample see different keys.
    __host__ __device__ bool rows_differ() const { return causal && rows > 1; }
};

// Which of the visible keys a row attends to. window: |position - key| < window. Grid: prefix tokens see all and are
// seen by all, the others see the cells of the raster within radius. Zeros mean no restriction.
struct Neighbourhood {
    int window;
    int grid_width;
    int radius;
    int prefix;
    bool manhattan;
};

}  // namespace attnexport
