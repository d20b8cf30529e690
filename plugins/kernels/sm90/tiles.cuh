// What a warpgroup does with one tile of keys: products, mask, weights.
#pragma once

#include <forward/softmax.cuh>
#include <sm90/row_tiles.cuh>

namespace attnexport::sm90 {

// Scores of a warpgroup's rows and a tile of keys.
template <class T, class C>
__device__ __forceinline__ void multiply_keys(float (&scores)[C::kCols / 2], uint32_t queries, uint32_t keys,
                                              uint32_t biases, uint32_t ones) {
#pragma unroll
    for (int depth = 0; depth < C::kWidth / 16; ++depth) {
        const uint32_t half = depth / 4, inside = depth % 4 * 32;
        Wgmma<T>::multiply_shared(scores, matrix(queries + half * 64 * 128 + inside),
                                  matrix(keys + half * C::kCols * 128 + inside), depth > 0);
    }
    if (C::kBiases)
        Wgmma<__nv_bfloat16>::multiply_shared(scores, matrix_of_pieces(ones, 64 * 16),
                                              matrix_of_pieces(biases, C::kCols * 16), true);
}

// out += weights times a tile of values.
template <class T, class C>
__device__ __forceinline__ void multiply_values(float (&out)[C::kWidth / 2],
                                                const uint32_t (&weights)[C::kCols / 16][4], uint32_t values) {
#pragma unroll
    for (int depth = 0; depth < C::kCols / 16; ++depth)
        Wgmma<T>::multiply_registers(out, weights[depth], matrix(values + depth * 16 * 128, C::kCols * 128), true);
}

template <class T, class C>
__device__ __forceinline__ void pack_weights(uint32_t (&weights)[C::kCols / 16][4],
                                             const float (&scores)[C::kCols / 2]) {
#pragma unroll
    for (int depth = 0; depth < C::kCols / 16; ++depth)
#pragma unroll
        for (int e = 0; e < 4; ++e)
            weights[depth][e] = Mma<T>::pack(scores[depth * 8 + e * 2], scores[depth * 8 + e * 2 + 1]);
}

// A thread's two rows. Accumulator i is of row i / 2 % 2 and of column i / 4 * 8 + lane % 4 * 2 + i % 2.
template <class Variant, class T, class C>
struct Rows {
    typename Variant::Row state[2];
    KeyRange seen[2];
    KeyRange whole;  // keys that all rows of the warp see

    __device__ __forceinline__ Rows(const ParamsOf<Variant, T> &p, const RowTile &tile) {
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            state[half] = state_of(p, tile, half);
            seen[half] = visible_keys(p.shape, neighbourhood_of<Variant>(p), tile.batch, row(p, tile, half));
        }
        whole.low = Variant::kNear ? __shfl_sync(0xffffffffu, seen[1].low, 31) : 0;
        whole.high = __shfl_sync(0xffffffffu, seen[0].high, 0);
    }

    static __device__ __forceinline__ int row(const ParamsOf<Variant, T> &p, const RowTile &tile, int half) {
        const int consumer = threadIdx.x / 128 - 1, warp = threadIdx.x % 128 / 32, lane = threadIdx.x % 32;
        return min(tile.first + consumer * 64 + warp * 16 + half * 8 + lane / 4, p.shape.rows - 1);
    }

    static __device__ __forceinline__ typename Variant::Row state_of(const ParamsOf<Variant, T> &p, const RowTile &tile,
                                                                     int half) {
        return Variant::row(p.row_params, p.shape, tile.batch, tile.head, row(p, tile, half));
    }

    // From the products, to which the keys' norms were added, to the scores of what the rows see.
    __device__ __forceinline__ void finish_scores(float (&scores)[C::kCols / 2], int step) const {
#pragma unroll
        for (int i = 0; i < C::kCols / 2; ++i) {
            const typename Variant::Row &row = state[i / 2 % 2];
            scores[i] = Variant::score(scores[i] + Variant::initial(0.f, row), row);
        }
        hide_unseen(scores, step);
    }

    // Ones, as weights of kCols keys from `first` on, for those that the rows see.
    __device__ __forceinline__ void weigh_seen(uint32_t (&weights)[C::kCols / 16][4], int first) const {
#pragma unroll
        for (int depth = 0; depth < C::kCols / 16; ++depth)
#pragma unroll
            for (int e = 0; e < 4; ++e) {
                const int key = first + depth * 16 + e / 2 * 8 + threadIdx.x % 4 * 2, end = seen[e % 2].high;
                weights[depth][e] = Mma<T>::pack(key < end ? 1.f : 0.f, key + 1 < end ? 1.f : 0.f);
            }
    }

  private:
    __device__ __forceinline__ void hide_unseen(float (&scores)[C::kCols / 2], int step) const {
        if (step * C::kCols >= whole.low && (step + 1) * C::kCols <= whole.high) return;
        const int first = step * C::kCols + threadIdx.x % 4 * 2;
#pragma unroll
        for (int i = 0; i < C::kCols / 2; ++i) {
            const int key = first + i / 4 * 8 + i % 2;
            const KeyRange &range = seen[i / 2 % 2];
            if (key < range.low || key >= range.high) scores[i] = Variant::kHidden;
        }
    }
};

// The running maximum of a thread's rows, and its share of the sums of their weights.
template <class Variant>
struct Sums {
    float maximum[2], sum[2];

    // Turns scores into weights; returns whether this warp's output must be multiplied by `rescale` before it grows.
    template <bool kFirst, int kScores, class Rows>
    __device__ __forceinline__ bool weigh(float (&scores)[kScores], const Rows &rows, float (&rescale)[2]) {
        if (kFirst) sum[0] = sum[1] = 0.f;
        bool grown = false;
        if constexpr (Variant::kSoftmax) {
            grown = follow_maximum<kFirst>(scores, rows, rescale);
            float shift[2];
#pragma unroll
            for (int half = 0; half < 2; ++half)
                shift[half] = maximum[half] == -INFINITY ? 0.f : exponent(maximum, rows, half);
#pragma unroll
            for (int i = 0; i < kScores; ++i)
                scores[i] = exp2_fast(Variant::exponent_minus(scores[i], shift[i / 2 % 2], rows.state[i / 2 % 2]));
        }
        float part[2] = {0.f, 0.f};
#pragma unroll
        for (int i = 0; i < kScores; ++i) part[i / 2 % 2] += scores[i];
        sum[0] += part[0];
        sum[1] += part[1];
        return grown;
    }

  private:
    template <bool kFirst, int kScores, class Rows>
    __device__ __forceinline__ bool follow_maximum(const float (&scores)[kScores], const Rows &rows,
                                                   float (&rescale)[2]) {
        float largest[2] = {scores[0], scores[2]};
#pragma unroll
        for (int i = 0; i < kScores; ++i) largest[i / 2 % 2] = fmaxf(largest[i / 2 % 2], scores[i]);
        bool grown = false;
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            largest[half] = quad_max(largest[half]);
            if (kFirst) {
                maximum[half] = largest[half];
            } else {
                largest[half] = fmaxf(maximum[half], largest[half]);
                grown |= exponent(largest, rows, half) - exponent(maximum, rows, half) > kLargestGrowth;
            }
        }
        if (!kFirst) grown = __any_sync(0xffffffffu, grown);
        if (grown) {
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                const float now = exponent(largest, rows, half);
                rescale[half] = now == -INFINITY ? 1.f : exp2_fast(exponent(maximum, rows, half) - now);
                maximum[half] = largest[half];
                sum[half] *= rescale[half];
            }
        }
        return grown;
    }

    template <class Rows>
    static __device__ __forceinline__ float exponent(const float (&scores)[2], const Rows &rows, int half) {
        return Variant::exponent(scores[half], rows.state[half]);
    }
};

}  // namespace attnexport::sm90
