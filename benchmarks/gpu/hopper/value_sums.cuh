// Sums of the values over all keys, in one launch: parts of the keys by blocks, joined in order by a pair's last block.
#pragma once

#include "ptx.cuh"

namespace attnexport::hopper {

constexpr int kSumParts = 16, kSumThreads = 256;

// parts (pairs, kSumParts, width); tickets (pairs), zero before and after.
template <class T, int kWidth>
__global__ void __launch_bounds__(kSumThreads)
    sum_values(const T *values, float *parts, float *sums, unsigned *tickets, int keys) {
    constexpr int kPieces = kWidth / 8, kStep = kSumThreads / kPieces;
    __shared__ float columns[kStep][kWidth + 4];
    __shared__ bool is_last;
    let_next_begin();
    const int pair = blockIdx.y, column = threadIdx.x % kPieces * 8, row = threadIdx.x / kPieces;
    const int count = (keys + kSumParts - 1) / kSumParts, begin = blockIdx.x * count, end = min(keys, begin + count);
    float sum[8] = {};
#pragma unroll 4
    for (int key = begin + row; key < end; key += kStep) {
        const uint4 piece =
            *reinterpret_cast<const uint4 *>(values + (static_cast<int64_t>(pair) * keys + key) * kWidth + column);
        const T *elements = reinterpret_cast<const T *>(&piece);
#pragma unroll
        for (int e = 0; e < 8; ++e) sum[e] += static_cast<float>(elements[e]);
    }
#pragma unroll
    for (int e = 0; e < 8; ++e) columns[row][column + e] = sum[e];
    __syncthreads();
    float *own = parts + (static_cast<int64_t>(pair) * kSumParts + blockIdx.x) * kWidth;
    for (int at = threadIdx.x; at < kWidth; at += kSumThreads) {
        float total = 0.f;
        for (int step = 0; step < kStep; ++step) total += columns[step][at];
        own[at] = total;
        __threadfence();
    }
    __syncthreads();
    if (threadIdx.x == 0) is_last = atomicInc(tickets + pair, kSumParts - 1) == kSumParts - 1;
    __syncthreads();
    if (!is_last) return;
    for (int at = threadIdx.x; at < kWidth; at += kSumThreads) {
        float total = 0.f;
        for (int part = 0; part < kSumParts; ++part)
            total += __ldcg(parts + (static_cast<int64_t>(pair) * kSumParts + part) * kWidth + at);
        sums[static_cast<int64_t>(pair) * kWidth + at] = total;
    }
}

}  // namespace attnexport::hopper
