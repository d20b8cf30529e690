// Decoding over a cache of 8-bit keys and values, as an experiment: affine-scaled and Krause attention of few rows,
// D = 128, one scale a head. A warp multiplies 16 keys at a time; threads read back from shared memory only what they
// copied there themselves, so that warps wait for nothing but their own copies.
#include <cuda_fp16.h>
#include <cuda_fp8.h>
#include <cuda_runtime.h>

#include <cstdint>

namespace {

constexpr int kWidth = 128, kWarps = 4, kGroup = 16, kRows = 8;
enum Kind { kHalf, kFp8, kInt8 };

template <int kKind>
struct Cache {
    static constexpr int kBytes = kKind == kHalf ? 2 : 1, kStages = kKind == kHalf ? 2 : 4;
    static constexpr int kPieces = 2 * kGroup * kWidth * kBytes / 16 / 32;  // 16-byte pieces of a thread and stage
    static constexpr int kStageBytes = kPieces * 16 * 32, kSharedBytes = kWarps * kStages * kStageBytes;
};

struct Params {
    const __half *q;
    const unsigned char *k, *v;
    const float *k_scale, *v_scale;  // one a pair of a sample and a key head
    const __half *alpha, *beta;
    __half *out;
    float *parts;  // [pair][split][kRows + 1][kWidth + 2]: sums, maximum, weight; the last row is the values' sum
    int group, keys, splits;
    float scale, norm_factor;  // score = q.k scale + |k|^2 norm_factor, to base 2
};

__device__ __forceinline__ void copy16(uint32_t to, const void *from) {
    asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16;" ::"r"(to), "l"(from));
}
__device__ __forceinline__ void commit() { asm volatile("cp.async.commit_group;"); }
template <int kPending>
__device__ __forceinline__ void wait() {
    asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

__device__ __forceinline__ uint4 read16(uint32_t from) {
    uint4 x;
    asm volatile("ld.shared.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(x.x), "=r"(x.y), "=r"(x.z), "=r"(x.w)
                 : "r"(from)
                 : "memory");
    return x;
}

__device__ __forceinline__ void multiply(float (&c)[4], uint32_t a0, uint32_t a1, uint32_t a2, uint32_t a3, uint32_t b0,
                                         uint32_t b1) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}

// Two half pairs of four 8-bit numbers.
template <int kKind>
__device__ __forceinline__ void widen(uint32_t x, uint32_t &low, uint32_t &high) {
    if (kKind == kFp8) {
        asm("{\n.reg .b16 l, h;\nmov.b32 {l, h}, %2;\ncvt.rn.f16x2.e4m3x2 %0, l;\ncvt.rn.f16x2.e4m3x2 %1, h;\n}"
            : "=r"(low), "=r"(high)
            : "r"(x));
    } else {
        // 1024 + 128 + x as a half is 0x6400 + (x ^ 0x80).
        const uint32_t shifted = x ^ 0x80808080u, offset = 0x64806480u;
        const uint32_t l = __byte_perm(shifted, 0x64646464u, 0x4140), h = __byte_perm(shifted, 0x64646464u, 0x4342);
        asm("sub.f16x2 %0, %1, %2;" : "=r"(low) : "r"(l), "r"(offset));
        asm("sub.f16x2 %0, %1, %2;" : "=r"(high) : "r"(h), "r"(offset));
    }
}

__device__ __forceinline__ uint32_t pack(float a, float b) {
    const __half2 x = __floats2half2_rn(a, b);
    return reinterpret_cast<const uint32_t &>(x);
}

__device__ __forceinline__ uint32_t squared(uint32_t x) {
    // A sixteenth first: the square of 448 is no half.
    const __half2 y = __hmul2(reinterpret_cast<const __half2 &>(x), __float2half2_rn(0.0625f));
    const __half2 z = __hmul2(y, y);
    return reinterpret_cast<const uint32_t &>(z);
}

__device__ __forceinline__ float exp2_fast(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

template <int kKind, bool kNorms>
__global__ void __launch_bounds__(kWarps * 32, 3) decode(const Params p) {
    using C = Cache<kKind>;
    extern __shared__ __align__(16) unsigned char memory[];
    constexpr uint32_t kOnes = 0x3c003c00u;
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, g = lane / 4, t = lane % 4;
    const int pair = blockIdx.y, split = blockIdx.x;
    const uint32_t own =
        static_cast<uint32_t>(__cvta_generic_to_shared(memory)) + warp * C::kStages * C::kStageBytes + lane * 16;
    const int groups = p.keys / kGroup, first = static_cast<int64_t>(groups) * split / p.splits;
    const int end = static_cast<int64_t>(groups) * (split + 1) / p.splits;
    constexpr int kRowBytes = kWidth * C::kBytes, kShare = kRowBytes / 4, kPiecesOfK = kShare / 16;
    constexpr int kVBytes = 16 * C::kBytes, kPiecesOfV = kVBytes / 16;
    const unsigned char *keys = p.k + static_cast<int64_t>(pair) * p.keys * kRowBytes + g * kRowBytes + t * kShare;
    const unsigned char *values =
        p.v + static_cast<int64_t>(pair) * p.keys * kRowBytes + g * kVBytes + 2 * t * kRowBytes;

    auto load = [&](int index, int stage) {
        if (index >= end) return;
        const int64_t base = static_cast<int64_t>(index) * kGroup * kRowBytes;
        uint32_t to = own + stage * C::kStageBytes;
#pragma unroll
        for (int block = 0; block < 2; ++block)
#pragma unroll
            for (int i = 0; i < kPiecesOfK; ++i, to += 512) copy16(to, keys + base + block * 8 * kRowBytes + i * 16);
#pragma unroll
        for (int key = 0; key < 4; ++key)
#pragma unroll
            for (int i = 0; i < kPiecesOfV; ++i, to += 512)
                copy16(to, values + base + (key / 2 * 8 + key % 2) * kRowBytes + i * 16);
    };

    uint32_t query[8][2];
    const bool has_row = g < p.group;
    const float q_factor = p.scale * (kKind == kHalf ? 1.f : p.k_scale[pair]);
    const __half *q = p.q + (static_cast<int64_t>(pair) * p.group + g) * kWidth + t * 32;
#pragma unroll
    for (int s = 0; s < 8; ++s)
#pragma unroll
        for (int e = 0; e < 2; ++e) query[s][e] = has_row ? *reinterpret_cast<const uint32_t *>(q + s * 4 + e * 2) : 0;
    const float norm_factor =
        kNorms ? p.norm_factor * 256.f * (kKind == kHalf ? 1.f : p.k_scale[pair] * p.k_scale[pair]) : 0.f;

    float out[16][4] = {}, maximum = -INFINITY, sum = 0.f;
    int index = first + warp;
#pragma unroll
    for (int stage = 0; stage < C::kStages - 1; ++stage) {
        load(index + stage * kWarps, stage);
        commit();
    }
    for (int stage = 0; index < end; index += kWarps, stage = stage + 1 == C::kStages ? 0 : stage + 1) {
        load(index + (C::kStages - 1) * kWarps, stage == 0 ? C::kStages - 1 : stage - 1);
        commit();
        wait<C::kStages - 1>();
        uint32_t from = own + stage * C::kStageBytes;
        float scores[2][4] = {}, norms[2][4] = {};
#pragma unroll
        for (int block = 0; block < 2; ++block) {
#pragma unroll
            for (int i = 0; i < kPiecesOfK; ++i, from += 512) {
                const uint4 piece = read16(from);
                const uint32_t words[4] = {piece.x, piece.y, piece.z, piece.w};
#pragma unroll
                for (int w = 0; w < (kKind == kHalf ? 2 : 4); ++w) {
                    uint32_t low, high;
                    const int step = kKind == kHalf ? i * 2 + w : i * 4 + w;
                    if (kKind == kHalf)
                        low = words[2 * w], high = words[2 * w + 1];
                    else
                        widen<kKind>(words[w], low, high);
                    multiply(scores[block], query[step][0], 0, query[step][1], 0, low, high);
                    if (kNorms) multiply(norms[block], kOnes, 0, kOnes, 0, squared(low), squared(high));
                }
            }
        }
        float own_scores[4];
#pragma unroll
        for (int i = 0; i < 4; ++i)
            own_scores[i] = scores[i / 2][i % 2] * q_factor + (kNorms ? norms[i / 2][i % 2] * norm_factor : 0.f);
        float largest = fmaxf(fmaxf(own_scores[0], own_scores[1]), fmaxf(own_scores[2], own_scores[3]));
        if (__any_sync(0xffffffffu, largest > maximum + 8.f)) {
            largest = fmaxf(largest, __shfl_xor_sync(0xffffffffu, largest, 1));
            largest = fmaxf(largest, __shfl_xor_sync(0xffffffffu, largest, 2));
            largest = fmaxf(largest, maximum);
            const float rescale = exp2_fast(maximum - largest);
            maximum = largest;
            sum *= rescale;
#pragma unroll
            for (int j = 0; j < 16; ++j) out[j][0] *= rescale, out[j][1] *= rescale;
        }
        float weights[4];
#pragma unroll
        for (int i = 0; i < 4; ++i) sum += weights[i] = exp2_fast(own_scores[i] - maximum);
        const uint32_t a0 = pack(weights[0], weights[1]), a2 = pack(weights[2], weights[3]);
        uint4 pieces[4 * kPiecesOfV];
#pragma unroll
        for (int i = 0; i < 4 * kPiecesOfV; ++i, from += 512) pieces[i] = read16(from);
#pragma unroll
        for (int i = 0; i < kPiecesOfV; ++i)
#pragma unroll
            for (int w = 0; w < 4; ++w) {
                const auto word = [&](int key) {
                    const uint4 &x = pieces[key * kPiecesOfV + i];
                    return w == 0 ? x.x : w == 1 ? x.y : w == 2 ? x.z : x.w;
                };
                uint32_t b[2][4];
                if (kKind == kHalf) {
#pragma unroll
                    for (int e = 0; e < 2; ++e) {
                        b[e][0] = __byte_perm(word(2 * e), word(2 * e + 1), 0x5410);
                        b[e][1] = __byte_perm(word(2 * e), word(2 * e + 1), 0x7632);
                    }
#pragma unroll
                    for (int j = 0; j < 2; ++j)
                        multiply(out[i * 8 + w * 2 + j], a0, kOnes, a2, kOnes, b[0][j], b[1][j]);
                } else {
#pragma unroll
                    for (int e = 0; e < 2; ++e) {
                        widen<kKind>(__byte_perm(word(2 * e), word(2 * e + 1), 0x5140), b[e][0], b[e][1]);
                        widen<kKind>(__byte_perm(word(2 * e), word(2 * e + 1), 0x7362), b[e][2], b[e][3]);
                    }
#pragma unroll
                    for (int j = 0; j < 4; ++j) multiply(out[w * 4 + j], a0, kOnes, a2, kOnes, b[0][j], b[1][j]);
                }
            }
    }
    wait<0>();
    sum += __shfl_xor_sync(0xffffffffu, sum, 1);
    sum += __shfl_xor_sync(0xffffffffu, sum, 2);
    __syncthreads();
    // The warps' rows beside one another: kRows rows, and the sum of the values.
    constexpr int kStride = kWidth + 2;
    float *shared = reinterpret_cast<float *>(memory) + warp * (kRows + 1) * kStride;
#pragma unroll
    for (int j = 0; j < 16; ++j)
#pragma unroll
        for (int e = 0; e < 2; ++e) {
            shared[g * kStride + 16 * (2 * t + e) + j] = out[j][e];
            if (g == 0) shared[kRows * kStride + 16 * (2 * t + e) + j] = out[j][2 + e];
        }
    if (t == 0) shared[g * kStride + kWidth] = maximum, shared[g * kStride + kWidth + 1] = sum;
    __syncthreads();
    const float *all = reinterpret_cast<const float *>(memory);
    float *part = p.parts + (static_cast<int64_t>(pair) * p.splits + split) * (kRows + 1) * kStride;
    const int column = threadIdx.x;
    for (int row = 0; row <= kRows; ++row) {
        if (row >= p.group && row < kRows) continue;
        float top = -INFINITY, total = 0.f, weight = 0.f;
        if (row < kRows)
            for (int w = 0; w < kWarps; ++w) top = fmaxf(top, all[(w * (kRows + 1) + row) * kStride + kWidth]);
        for (int w = 0; w < kWarps; ++w) {
            const float *one = all + (w * (kRows + 1) + row) * kStride;
            const float factor = row == kRows ? 1.f : one[kWidth] == -INFINITY ? 0.f : exp2_fast(one[kWidth] - top);
            total += one[column] * factor;
            if (row < kRows) weight += one[kWidth + 1] * factor;
        }
        part[row * kStride + column] = total;
        if (column == 0 && row < kRows) part[row * kStride + kWidth] = top, part[row * kStride + kWidth + 1] = weight;
    }
}

__global__ void __launch_bounds__(kWidth) combine(const Params p, bool adds) {
    constexpr int kStride = kWidth + 2;
    const int pair = blockIdx.y, row = blockIdx.x, column = threadIdx.x;
    const float *parts = p.parts + static_cast<int64_t>(pair) * p.splits * (kRows + 1) * kStride;
    float top = -INFINITY, total = 0.f, weight = 0.f, sums = 0.f;
    for (int s = 0; s < p.splits; ++s) top = fmaxf(top, parts[(s * (kRows + 1) + row) * kStride + kWidth]);
    for (int s = 0; s < p.splits; ++s) {
        const float *one = parts + (s * (kRows + 1) + row) * kStride;
        const float factor = exp2_fast(one[kWidth] - top);
        total += one[column] * factor;
        weight += one[kWidth + 1] * factor;
        sums += parts[(s * (kRows + 1) + kRows) * kStride + column];
    }
    const int64_t head = static_cast<int64_t>(pair) * p.group + row;
    float x = total / weight;
    if (adds) x = __half2float(p.alpha[head]) * x + __half2float(p.beta[head]) * sums;
    p.out[head * kWidth + column] = __float2half(x * (p.v_scale == nullptr ? 1.f : p.v_scale[pair]));
}

// Halves of a scaled 8-bit tensor, 16 numbers a thread.
template <int kKind>
__global__ void dequantize(const uint4 *from, uint4 *to, const float *scale, int64_t count, int64_t of_pair) {
    const int64_t at = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (at >= count) return;
    const __half2 factor = __float2half2_rn(scale[at / of_pair]);
    const uint4 x = from[at];
    const uint32_t words[4] = {x.x, x.y, x.z, x.w};
    uint32_t y[8];
#pragma unroll
    for (int w = 0; w < 4; ++w) {
        widen<kKind>(words[w], y[2 * w], y[2 * w + 1]);
        for (int e = 0; e < 2; ++e) {
            const __half2 z = __hmul2(reinterpret_cast<const __half2 &>(y[2 * w + e]), factor);
            y[2 * w + e] = reinterpret_cast<const uint32_t &>(z);
        }
    }
    to[2 * at] = make_uint4(y[0], y[1], y[2], y[3]);
    to[2 * at + 1] = make_uint4(y[4], y[5], y[6], y[7]);
}

template <int kKind, bool kNorms>
int run(const Params &p, int pairs, cudaStream_t stream) {
    const auto kernel = decode<kKind, kNorms>;
    cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, Cache<kKind>::kSharedBytes);
    kernel<<<dim3(p.splits, pairs), kWarps * 32, Cache<kKind>::kSharedBytes, stream>>>(p);
    combine<<<dim3(p.group, pairs), kWidth, 0, stream>>>(p, !kNorms);
    return cudaGetLastError();
}

}  // namespace

extern "C" int quantized_decode(int kind, int norms, const void *q, const void *k, const void *v, const float *k_scale,
                                const float *v_scale, const void *alpha, const void *beta, void *out, float *parts,
                                int pairs, int group, int keys, int splits, float scale, float norm_factor,
                                void *stream) {
    constexpr float kLog2E = 1.4426950408889634f;
    if (group > kRows || keys % kGroup != 0) return -1;
    const Params p{static_cast<const __half *>(q),
                   static_cast<const unsigned char *>(k),
                   static_cast<const unsigned char *>(v),
                   k_scale,
                   v_scale,
                   static_cast<const __half *>(alpha),
                   static_cast<const __half *>(beta),
                   static_cast<__half *>(out),
                   parts,
                   group,
                   keys,
                   splits,
                   scale * kLog2E,
                   norm_factor * kLog2E};
    const auto s = static_cast<cudaStream_t>(stream);
    if (kind == kHalf) return norms ? run<kHalf, true>(p, pairs, s) : run<kHalf, false>(p, pairs, s);
    if (kind == kFp8) return norms ? run<kFp8, true>(p, pairs, s) : run<kFp8, false>(p, pairs, s);
    return norms ? run<kInt8, true>(p, pairs, s) : run<kInt8, false>(p, pairs, s);
}

extern "C" int quantized_dequantize(int kind, const void *from, void *to, const float *scale, int64_t pairs,
                                    int64_t of_pair, void *stream) {
    const int64_t count = pairs * of_pair / 16;
    const auto blocks = static_cast<unsigned>((count + 255) / 256);
    const auto s = static_cast<cudaStream_t>(stream);
    const auto *x = static_cast<const uint4 *>(from);
    if (kind == kFp8)
        dequantize<kFp8><<<blocks, 256, 0, s>>>(x, static_cast<uint4 *>(to), scale, count, of_pair / 16);
    else
        dequantize<kInt8><<<blocks, 256, 0, s>>>(x, static_cast<uint4 *>(to), scale, count, of_pair / 16);
    return cudaGetLastError();
}
