// Lead features, and powers of two that bring features and states into the range of 16-bit types.
#pragma once

#include "params.cuh"

namespace attnexport {

// Products of two scaled 16-bit features stay below 2^15, which leaves 2^29 of half's normal range below the largest.
constexpr int kFeatureExponent = 15;

template <class T>
constexpr int kLargestLeadExponent = 100;
template <>
constexpr int kLargestLeadExponent<__half> = 15;

__device__ __forceinline__ float power_of_two(int exponent) { return __int_as_float((exponent + 127) << 23); }

__device__ __forceinline__ int clamp_exponent(int exponent) { return max(-126, min(exponent, 126)); }

// x with magnitude < 2^x, for the bits of a finite magnitude; zero for zero.
__device__ __forceinline__ int exponent_above(unsigned bits) {
    return bits == 0 ? 0 : static_cast<int>(bits >> 23) - 126;
}

// Multiplies by a power of two of any exponent.
struct WideScale {
    float first, second;

    __device__ __forceinline__ explicit WideScale(int exponent) {
        exponent = max(-252, min(exponent, 252));
        first = power_of_two(exponent / 2);
        second = power_of_two(exponent - exponent / 2);
    }

    __device__ __forceinline__ float operator()(float x) const { return x * first * second; }
};

// Bits of the magnitude, zero where it is not finite.
__device__ __forceinline__ unsigned finite_bits(float x) {
    const unsigned bits = __float_as_uint(fabsf(x));
    return bits < 0x7f800000u ? bits : 0u;
}

// The exponent by which the lead features of one token, or of all of a pair's keys, are scaled; maxima(r) are the bits
// of the largest magnitude of factor r.
template <class T, class Maxima>
__device__ __forceinline__ int lead_exponent(int factors, Maxima maxima) {
    int exponent = min(kLargestLeadExponent<T>, kFeatureExponent - exponent_above(maxima(factors - 1)));
    for (int r = 0; r < factors - 1; ++r) exponent -= exponent_above(maxima(r));
    return clamp_exponent(exponent);
}

// Lead features a .. a + 7 of a token: eight elements of one factor times a number.
template <class T>
struct LeadRun {
    uint4 elements;
    float multiplier;

    __device__ __forceinline__ float value(int e) const {
        return widen(reinterpret_cast<const T *>(&elements)[e]) * multiplier;
    }
};

// Factors are (tokens, width) with widths that are multiples of 8, and so is a.
template <class T>
__device__ __forceinline__ LeadRun<T> load_lead_run(const T *const (&factors)[kMaxFactors],
                                                    const int (&widths)[kMaxFactors], int leading, int64_t token, int a,
                                                    float scale) {
    LeadRun<T> run;
    run.multiplier = scale;
    const int width = widths[leading - 1];
    if (leading == 1) {
        run.elements = *reinterpret_cast<const uint4 *>(factors[0] + token * width + a);
        return run;
    }
    int rest = a / width;
    run.elements = *reinterpret_cast<const uint4 *>(factors[leading - 1] + token * width + (a - rest * width));
    float product = 1.f;
    for (int r = leading - 2; r >= 0; --r) {
        const int next = rest / widths[r];
        product *= widen(factors[r][token * widths[r] + (rest - next * widths[r])]);
        rest = next;
    }
    run.multiplier *= product;
    return run;
}

// maxima[pair][factor]: grid (parts, pairs, factors).
template <class T>
__global__ void hla_key_maxima(const HlaParams<T> p) {
    const int pair = blockIdx.y, factor = blockIdx.z, width = p.widths[factor];
    const T *from = p.k[factor] + static_cast<int64_t>(pair) * p.shape.keys * width;
    const int64_t pieces = static_cast<int64_t>(present_keys(p.shape, pair / p.shape.kv_heads)) * width / 8;
    unsigned largest = 0;
    for (int64_t piece = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; piece < pieces;
         piece += static_cast<int64_t>(gridDim.x) * blockDim.x) {
        const uint4 elements = reinterpret_cast<const uint4 *>(from)[piece];
#pragma unroll
        for (int e = 0; e < 8; ++e)
            largest = max(largest, finite_bits(widen(reinterpret_cast<const T *>(&elements)[e])));
    }
    largest = __reduce_max_sync(0xffffffffu, largest);
    if (threadIdx.x % 32 == 0 && largest > 0)
        atomicMax(p.maxima + static_cast<int64_t>(pair) * p.factors + factor, largest);
}

template <class T>
__device__ __forceinline__ int key_exponent(const HlaParams<T> &p, int pair) {
    const unsigned *maxima = p.maxima + static_cast<int64_t>(pair) * p.factors;
    return lead_exponent<T>(p.factors, [&](int r) { return maxima[r]; });
}

template <class T>
__device__ __forceinline__ unsigned *state_maxima(const HlaParams<T> &p, int pair, int state) {
    const int64_t of_keys = static_cast<int64_t>(p.shape.pairs()) * p.factors;
    return p.maxima + of_keys + (static_cast<int64_t>(pair) * p.states + state) * 2;
}

__device__ __forceinline__ int state_exponent(unsigned maximum) {
    return clamp_exponent(kFeatureExponent - exponent_above(maximum));
}

// Shared address of an element of a panel.
template <class T>
__device__ __forceinline__ uint32_t element_address(uint32_t panel, int stride, int row, int column) {
    return panel + static_cast<uint32_t>((row * stride + column) * static_cast<int>(sizeof(T)));
}

// Copies rows first .. first + rows - 1 of a matrix into shared memory; rows from `limit` on and columns from `columns`
// on become zeros.
template <class T>
__device__ __forceinline__ void copy_rows_async(uint32_t to, int stride, int pieces, int rows, const T *from, int width,
                                                int columns, int first, int limit) {
    for (int at = threadIdx.x; at < rows * pieces; at += blockDim.x) {
        const int row = at / pieces, column = at % pieces * 8;
        const bool inside = first + row < limit && column < columns;
        const T *piece = inside ? from + static_cast<int64_t>(first + row) * width + column : from;
        copy_async_16(element_address<T>(to, stride, row, column), piece, inside ? 16 : 0);
    }
}

// The same for tiles of kRows rows and kColumns columns with a stride of kColumns + 8, without loops.
template <class T, int kRows, int kColumns, int kThreads>
class TileCopy {
    static constexpr int kPieces = kColumns / 8, kStep = kThreads / kPieces, kBytes = static_cast<int>(sizeof(T));
    static_assert(kThreads % kPieces == 0 && kRows % kStep == 0, "every thread copies as many pieces");

  public:
    __device__ __forceinline__ TileCopy(const T *from, int width, int columns)
        : row_(threadIdx.x / kPieces),
          bytes_(static_cast<int>(threadIdx.x) % kPieces * 8 < columns ? 16 : 0),
          width_(width),
          from_(from + (bytes_ > 0 ? static_cast<int64_t>(row_) * width + threadIdx.x % kPieces * 8 : 0)) {}

    __device__ __forceinline__ void load(uint32_t to, int first, int limit) const {
        const T *from = from_ + static_cast<int64_t>(first) * width_;
        to = element_address<T>(to, kColumns + 8, row_, static_cast<int>(threadIdx.x) % kPieces * 8);
        const int rows = limit - first - row_;
#pragma unroll
        for (int row = 0; row < kRows; row += kStep) {
            copy_async_16(to, from, row < rows ? bytes_ : 0);
            to += kStep * (kColumns + 8) * kBytes;
            from += static_cast<int64_t>(kStep) * width_;
        }
    }

  private:
    int row_, bytes_, width_;
    const T *from_;
};

}  // namespace attnexport
