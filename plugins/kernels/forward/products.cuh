// The two matrix products of a warp's rows with one tile of keys.
#pragma once

#include <forward/config.cuh>

namespace attnexport {

// S += Q K^T.
template <class T, class Config>
__device__ __forceinline__ void multiply_keys(typename Config::Scores &scores, uint32_t q_tile, uint32_t k_tile,
                                              int warp_row) {
    constexpr int kWidth = Config::kWidth;
    const int lane = threadIdx.x % 32;
    // Right operands are loaded kAhead steps before they are multiplied, left ones a whole depth before.
    constexpr int kSteps = Config::kCols / 16, kTotal = kWidth / 16 * kSteps, kAhead = 2;
    const int b_row = lane % 8 + (lane / 16) * 8, b_column = ((lane / 8) % 2) * 8;
    uint32_t b[kAhead + 1][4];
    FragmentA a[2][Config::kRowTiles];
    auto load_right = [&](int step) {
        const uint32_t address =
            Tile<T, Config::kCols, kWidth>::address(k_tile, step % kSteps * 16 + b_row, step / kSteps * 16 + b_column);
        load_matrix_x4(b[step % (kAhead + 1)], address);
    };
    auto load_left = [&](int depth) {
#pragma unroll
        for (int m = 0; m < Config::kRowTiles; ++m) {
            const int row = warp_row + m * 16 + lane % 16, column = depth * 16 + (lane / 16) * 8;
            load_matrix_x4(a[depth % 2][m].x, Tile<T, Config::kRows, kWidth>::address(q_tile, row, column));
        }
    };
    load_left(0);
#pragma unroll
    for (int step = 0; step < kAhead; ++step) load_right(step);
#pragma unroll
    for (int step = 0; step < kTotal; ++step) {
        const int depth = step / kSteps, n = step % kSteps * 2;
        if (step % kSteps == 0 && depth + 1 < kWidth / 16) load_left(depth + 1);
        if (step + kAhead < kTotal) load_right(step + kAhead);
        const uint32_t *right = b[step % (kAhead + 1)];
#pragma unroll
        for (int m = 0; m < Config::kRowTiles; ++m) {
            Mma<T>::multiply(scores[m][n], a[depth % 2][m], FragmentB{{right[0], right[1]}});
            Mma<T>::multiply(scores[m][n + 1], a[depth % 2][m], FragmentB{{right[2], right[3]}});
        }
    }
}

// O += P V. Weights are rounded to the input type, sums are not.
template <class T, class Config>
__device__ __forceinline__ void multiply_values(typename Config::Output &out, const typename Config::Scores &weights,
                                                uint32_t v_tile) {
    constexpr int kWidth = Config::kWidth;
    const int lane = threadIdx.x % 32;
    constexpr int kSteps = kWidth / 16, kTotal = Config::kCols / 16 * kSteps, kAhead = 2;
    const int b_row = lane % 16, b_column = (lane / 16) * 8;
    uint32_t b[kAhead + 1][4];
    auto load_right = [&](int step) {
        const uint32_t address =
            Tile<T, Config::kCols, kWidth>::address(v_tile, step / kSteps * 16 + b_row, step % kSteps * 16 + b_column);
        load_matrix_x4_transposed(b[step % (kAhead + 1)], address);
    };
#pragma unroll
    for (int step = 0; step < kAhead; ++step) load_right(step);
    FragmentA a[Config::kRowTiles];
#pragma unroll
    for (int step = 0; step < kTotal; ++step) {
        const int depth = step / kSteps, n = step % kSteps * 2;
        if (step % kSteps == 0) {
#pragma unroll
            for (int m = 0; m < Config::kRowTiles; ++m) {
                const Accumulator &left = weights[m][depth * 2], &next = weights[m][depth * 2 + 1];
                a[m].x[0] = Mma<T>::pack(left.x[0], left.x[1]);
                a[m].x[1] = Mma<T>::pack(left.x[2], left.x[3]);
                a[m].x[2] = Mma<T>::pack(next.x[0], next.x[1]);
                a[m].x[3] = Mma<T>::pack(next.x[2], next.x[3]);
            }
        }
        if (step + kAhead < kTotal) load_right(step + kAhead);
        const uint32_t *right = b[step % (kAhead + 1)];
#pragma unroll
        for (int m = 0; m < Config::kRowTiles; ++m) {
            Mma<T>::multiply(out[m][n], a[m], FragmentB{{right[0], right[1]}});
            Mma<T>::multiply(out[m][n + 1], a[m], FragmentB{{right[2], right[3]}});
        }
    }
}

}  // namespace attnexport
