// Squared norms of rows, accumulated in float.
#pragma once

#include <attnexport/op.h>
#include <forward/mma.cuh>

namespace attnexport {

// norms[row] = factor * |x[row]|^2, by `lanes` of a warp a row, a power of two.
template <class T>
__global__ void row_norms(const T *x, float *norms, int64_t rows, int width, int lanes, float factor) {
    wait_for_previous();
    let_next_begin();
    const int64_t row = (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) / lanes;
    const int lane = threadIdx.x % lanes, present = row < rows ? width : 0;
    const T *source = x + row * width;
    float sum = 0.f;
    if (sizeof(T) == 2 && width % 8 == 0) {
        for (int column = lane * 8; column < present; column += lanes * 8) {
            const uint4 piece = *reinterpret_cast<const uint4 *>(source + column);
            const T *values = reinterpret_cast<const T *>(&piece);
#pragma unroll
            for (int e = 0; e < 8; ++e) {
                const float value = widen(values[e]);
                sum = fmaf(value, value, sum);
            }
        }
    } else {
        for (int column = lane; column < present; column += lanes) {
            const float value = widen(source[column]);
            sum = fmaf(value, value, sum);
        }
    }
    for (int step = lanes / 2; step > 0; step /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, step);
    if (lane == 0 && row < rows) norms[row] = factor * sum;
}

// Lanes that all have 16 bytes of a row to read, where rows are read so.
template <class T>
int norm_lanes(int width) {
    int lanes = 32;
    while (sizeof(T) == 2 && width % 8 == 0 && lanes > 1 && lanes / 2 * 8 >= width) lanes /= 2;
    return lanes;
}

// Returns attnexport_status.
template <class T>
int launch_row_norms(const T *x, float *norms, int64_t rows, int width, float factor, cudaStream_t stream) {
    constexpr int kThreads = 256;
    if (rows == 0) return ATTNEXPORT_OK;
    const int lanes = norm_lanes<T>(width), block_rows = kThreads / lanes;
    const dim3 grid(static_cast<unsigned>((rows + block_rows - 1) / block_rows));
    return launch_kernel(row_norms<T>, grid, dim3(kThreads), 0, stream, x, norms, rows, width, lanes, factor) ==
                   cudaSuccess
               ? ATTNEXPORT_OK
               : ATTNEXPORT_CUDA_ERROR;
}

}  // namespace attnexport
