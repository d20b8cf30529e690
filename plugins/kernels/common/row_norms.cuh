// Squared norms of rows, accumulated in float.
#pragma once

#include <attnexport/op.h>
#include <forward/mma.cuh>

namespace attnexport {

// norms[row] = factor * |x[row]|^2, one warp a row.
template <class T>
__global__ void row_norms(const T *x, float *norms, int64_t rows, int width, float factor) {
    const int64_t row = static_cast<int64_t>(blockIdx.x) * (blockDim.x / 32) + threadIdx.x / 32;
    if (row >= rows) return;
    const int lane = threadIdx.x % 32;
    const T *source = x + row * width;
    float sum = 0.f;
    if (sizeof(T) == 2 && width % 8 == 0) {
        for (int column = lane * 8; column < width; column += 256) {
            const uint4 piece = *reinterpret_cast<const uint4 *>(source + column);
            const T *values = reinterpret_cast<const T *>(&piece);
#pragma unroll
            for (int e = 0; e < 8; ++e) {
                const float value = widen(values[e]);
                sum = fmaf(value, value, sum);
            }
        }
    } else {
        for (int column = lane; column < width; column += 32) {
            const float value = widen(source[column]);
            sum = fmaf(value, value, sum);
        }
    }
#pragma unroll
    for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, step);
    if (lane == 0) norms[row] = factor * sum;
}

// Returns attnexport_status.
template <class T>
int launch_row_norms(const T *x, float *norms, int64_t rows, int width, float factor, cudaStream_t stream) {
    constexpr int kWarps = 8;
    if (rows == 0) return ATTNEXPORT_OK;
    const dim3 grid(static_cast<unsigned>((rows + kWarps - 1) / kWarps));
    return launch_kernel(row_norms<T>, grid, dim3(kWarps * 32), 0, stream, x, norms, rows, width, factor) == cudaSuccess
               ? ATTNEXPORT_OK
               : ATTNEXPORT_CUDA_ERROR;
}

}  // namespace attnexport
