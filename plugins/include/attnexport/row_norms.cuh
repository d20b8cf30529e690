// Squared norms of rows, accumulated in float.
#pragma once

#include <attnexport/mma.cuh>

namespace attnexport {

// norms[row] = factor * |x[row]|^2, one warp a row, width a multiple of 8.
template <class T>
__global__ void row_norms(const T *x, float *norms, int64_t rows, int width, float factor) {
    const int64_t row = static_cast<int64_t>(blockIdx.x) * (blockDim.x / 32) + threadIdx.x / 32;
    if (row >= rows) return;
    const int lane = threadIdx.x % 32;
    float sum = 0.f;
    for (int column = lane * 8; column < width; column += 256) {
        const uint4 piece = *reinterpret_cast<const uint4 *>(x + row * width + column);
        const T *values = reinterpret_cast<const T *>(&piece);
#pragma unroll
        for (int e = 0; e < 8; ++e) {
            const float value = Mma<T>::widen(values[e]);
            sum = fmaf(value, value, sum);
        }
    }
#pragma unroll
    for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, step);
    if (lane == 0) norms[row] = factor * sum;
}

template <class T>
void launch_row_norms(const T *x, float *norms, int64_t rows, int width, float factor, cudaStream_t stream) {
    constexpr int kWarps = 8;
    if (rows > 0) row_norms<T><<<(rows + kWarps - 1) / kWarps, kWarps * 32, 0, stream>>>(x, norms, rows, width, factor);
}

}  // namespace attnexport
