// A row's result: the weighted sum of the values of its kept keys, read where they lie.
#pragma once

#include <selection/candidates.cuh>

namespace attnexport {

// One warp writes a row of `width` columns, a multiple of 8: `factor` times the sum. kPieces lanes share a row of
// values, 16 bytes each. NaN as the factor makes all columns NaN.
template <class T, int kPieces>
__device__ __forceinline__ void gather_values(const T *values, int width, const KeptKey *kept, int count, float factor,
                                              T *out) {
    static_assert(sizeof(T) == 2 && 32 % kPieces == 0);
    constexpr int kRows = 32 / kPieces, kAhead = 8;
    const int lane = threadIdx.x % 32, column = lane % kPieces * 8;
    const bool inside = column < width;
    float sum[8] = {};
    const auto piece_of = [&](int key) {
        return *reinterpret_cast<const uint4 *>(values + static_cast<int64_t>(key) * width + column);
    };
    const auto add = [&](float weight, const uint4 &piece) {
        const T *own = reinterpret_cast<const T *>(&piece);
#pragma unroll
        for (int e = 0; e < 8; ++e) sum[e] = fmaf(weight, widen(own[e]), sum[e]);
    };
    if (inside) {
        int at = lane / kPieces;
        for (const int last = count - kRows * (kAhead - 1); at < last; at += kRows * kAhead) {
            KeptKey own[kAhead];
            uint4 piece[kAhead];
#pragma unroll
            for (int ahead = 0; ahead < kAhead; ++ahead) {
                own[ahead] = kept[at + ahead * kRows];
                piece[ahead] = piece_of(own[ahead].key);
            }
#pragma unroll
            for (int ahead = 0; ahead < kAhead; ++ahead) add(own[ahead].weight, piece[ahead]);
        }
        for (; at < count; at += kRows) add(kept[at].weight, piece_of(kept[at].key));
    }
#pragma unroll
    for (int step = kPieces; step < 32; step *= 2)
#pragma unroll
        for (int e = 0; e < 8; ++e) sum[e] += __shfl_xor_sync(0xffffffffu, sum[e], step);
    if (lane >= kPieces || !inside) return;
    uint4 packed;
    packed.x = Mma<T>::pack(sum[0] * factor, sum[1] * factor);
    packed.y = Mma<T>::pack(sum[2] * factor, sum[3] * factor);
    packed.z = Mma<T>::pack(sum[4] * factor, sum[5] * factor);
    packed.w = Mma<T>::pack(sum[6] * factor, sum[7] * factor);
    *reinterpret_cast<uint4 *>(out + column) = packed;
}

}  // namespace attnexport
