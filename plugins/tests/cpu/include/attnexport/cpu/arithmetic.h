// Functions on numbers and bits that device code finds at global scope.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include <math.h>

namespace attnexport::cpu {

template <class To, class From>
To bit_cast(From value) {
    static_assert(sizeof(To) == sizeof(From));
    To result;
    std::memcpy(&result, &value, sizeof(To));
    return result;
}

}  // namespace attnexport::cpu

#define ATTNEXPORT_CPU_MIN_MAX(Result, First, Second)                                 \
    inline Result min(First first, Second second) {                                   \
        const Result a = static_cast<Result>(first), b = static_cast<Result>(second); \
        return a < b ? a : b;                                                         \
    }                                                                                 \
    inline Result max(First first, Second second) {                                   \
        const Result a = static_cast<Result>(first), b = static_cast<Result>(second); \
        return a < b ? b : a;                                                         \
    }
ATTNEXPORT_CPU_MIN_MAX(int, int, int)
ATTNEXPORT_CPU_MIN_MAX(unsigned, unsigned, unsigned)
ATTNEXPORT_CPU_MIN_MAX(unsigned, int, unsigned)
ATTNEXPORT_CPU_MIN_MAX(unsigned, unsigned, int)
ATTNEXPORT_CPU_MIN_MAX(long, long, long)
ATTNEXPORT_CPU_MIN_MAX(unsigned long, unsigned long, unsigned long)
ATTNEXPORT_CPU_MIN_MAX(unsigned long, long, unsigned long)
ATTNEXPORT_CPU_MIN_MAX(unsigned long, unsigned long, long)
ATTNEXPORT_CPU_MIN_MAX(long long, long long, long long)
ATTNEXPORT_CPU_MIN_MAX(unsigned long long, unsigned long long, unsigned long long)
ATTNEXPORT_CPU_MIN_MAX(unsigned long long, long long, unsigned long long)
ATTNEXPORT_CPU_MIN_MAX(unsigned long long, unsigned long long, long long)
#undef ATTNEXPORT_CPU_MIN_MAX

inline float min(float a, float b) { return fminf(a, b); }
inline float max(float a, float b) { return fmaxf(a, b); }
inline double min(double a, double b) { return fmin(a, b); }
inline double max(double a, double b) { return fmax(a, b); }
inline double min(float a, double b) { return fmin(a, b); }
inline double max(float a, double b) { return fmax(a, b); }
inline double min(double a, float b) { return fmin(a, b); }
inline double max(double a, float b) { return fmax(a, b); }

inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __ffsll(long long x) { return __builtin_ffsll(x); }
inline int __clz(int x) { return x == 0 ? 32 : __builtin_clz(static_cast<unsigned>(x)); }
inline int __clzll(long long x) { return x == 0 ? 64 : __builtin_clzll(static_cast<unsigned long long>(x)); }
inline unsigned __brev(unsigned x) {
    unsigned y = 0;
    for (int bit = 0; bit < 32; ++bit) y |= (x >> bit & 1u) << (31 - bit);
    return y;
}

inline unsigned __float_as_uint(float x) { return attnexport::cpu::bit_cast<unsigned>(x); }
inline int __float_as_int(float x) { return attnexport::cpu::bit_cast<int>(x); }
inline float __uint_as_float(unsigned x) { return attnexport::cpu::bit_cast<float>(x); }
inline float __int_as_float(int x) { return attnexport::cpu::bit_cast<float>(x); }

template <class T>
T __ldg(const T *at) {
    return *at;
}
template <class T>
T __ldcg(const T *at) {
    return *at;
}
template <class T>
T __ldcs(const T *at) {
    return *at;
}
template <class T>
void __stcg(T *at, T value) {
    *at = value;
}
template <class T>
void __stcs(T *at, T value) {
    *at = value;
}

inline float rsqrtf(float x) { return 1.f / sqrtf(x); }
inline float __fdividef(float x, float y) { return x / y; }
inline float __expf(float x) { return expf(x); }
inline float __exp10f(float x) { return powf(10.f, x); }
inline float __logf(float x) { return logf(x); }
inline float __log2f(float x) { return log2f(x); }
inline float __sinf(float x) { return sinf(x); }
inline float __cosf(float x) { return cosf(x); }
inline void __sincosf(float x, float *sine, float *cosine) {
    *sine = sinf(x);
    *cosine = cosf(x);
}
inline float __powf(float x, float y) { return powf(x, y); }
inline float __saturatef(float x) { return fminf(fmaxf(x, 0.f), 1.f); }
inline float __fadd_rn(float x, float y) { return x + y; }
inline float __fsub_rn(float x, float y) { return x - y; }
inline float __fmul_rn(float x, float y) { return x * y; }
inline float __fdiv_rn(float x, float y) { return x / y; }
inline float __fmaf_rn(float x, float y, float z) { return fmaf(x, y, z); }
inline float __frcp_rn(float x) { return 1.f / x; }
inline float __fsqrt_rn(float x) { return sqrtf(x); }
inline float __int2float_rn(int x) { return static_cast<float>(x); }
inline float __uint2float_rn(unsigned x) { return static_cast<float>(x); }
inline int __float2int_rn(float x) { return static_cast<int>(rintf(x)); }
inline int __float2int_rz(float x) { return static_cast<int>(x); }
inline int __float2int_rd(float x) { return static_cast<int>(floorf(x)); }
inline int __float2int_ru(float x) { return static_cast<int>(ceilf(x)); }
