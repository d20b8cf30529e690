// Prefix sums over the keys, in chunks: chunk sums, a scan of the chunks, then the sums before every key.
#pragma once

#include <forward/mma.cuh>

namespace attnexport {

constexpr int kPrefixChunk = 64;

__host__ __device__ inline int prefix_chunks(int keys) { return (keys + kPrefixChunk - 1) / kPrefixChunk; }

// chunk_sums[pair][chunk][column] = sum of the chunk's values; a block per chunk and pair, a thread per column.
// Map turns a value into what is summed; kTerms of them are kept side by side.
template <class T, class Map>
__global__ void sum_chunks(const T *values, float *chunk_sums, int keys, int width) {
    const int chunk = blockIdx.x, pair = blockIdx.y, column = threadIdx.x;
    if (column >= width) return;
    const T *source = values + (static_cast<int64_t>(pair) * keys + chunk * kPrefixChunk) * width + column;
    const int count = min(kPrefixChunk, keys - chunk * kPrefixChunk);
    float sums[Map::kTerms] = {};
    for (int key = 0; key < count; ++key) Map::add(sums, widen(source[static_cast<int64_t>(key) * width]));
#pragma unroll
    for (int term = 0; term < Map::kTerms; ++term)
        chunk_sums[((static_cast<int64_t>(pair) * gridDim.x + chunk) * Map::kTerms + term) * width + column] =
            sums[term];
}

// Turns chunk sums into the sums before each chunk, in place; columns counts the terms.
static __global__ void scan_chunks(float *chunk_sums, int chunks, int columns) {
    const int column = blockIdx.x * blockDim.x + threadIdx.x;
    if (column >= columns) return;
    float *at = chunk_sums + static_cast<int64_t>(blockIdx.y) * chunks * columns + column;
    float before = 0.f;
    int chunk = 0;
    for (; chunk + 8 <= chunks; chunk += 8) {
        float own[8];
#pragma unroll
        for (int step = 0; step < 8; ++step) own[step] = at[static_cast<int64_t>(chunk + step) * columns];
#pragma unroll
        for (int step = 0; step < 8; ++step) {
            at[static_cast<int64_t>(chunk + step) * columns] = before;
            before += own[step];
        }
    }
    for (; chunk < chunks; ++chunk) {
        const float own = at[static_cast<int64_t>(chunk) * columns];
        at[static_cast<int64_t>(chunk) * columns] = before;
        before += own;
    }
}

}  // namespace attnexport
