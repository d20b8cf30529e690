// From the sums of the units to the states: a prefix sum in place, and its rounding to a 16-bit type.
#pragma once

#include "features.cuh"

namespace attnexport {

constexpr int kScanThreads = 256;

// State r ends up at unit splits - 1 + r. kTracks: the largest magnitudes go to p.maxima; a warp's elements are then
// either all values or all sums. Grid: (elements / kScanThreads, pairs).
template <class T, bool kTracks>
__global__ void hla_scan(const HlaParams<T> p) {
    const int64_t elements = p.state_floats(), at = static_cast<int64_t>(blockIdx.x) * kScanThreads + threadIdx.x;
    const bool inside = at < elements, is_sum = at >= static_cast<int64_t>(p.features) * p.shape.value_width;
    float *unit = p.sums + static_cast<int64_t>(blockIdx.y) * p.units() * elements + (inside ? at : 0);
    float sum = 0.f;
    for (int split = 0; split + 1 < p.splits; ++split, unit += elements) sum += *unit;
    constexpr int kAhead = 8;
    for (int first = 0; first < p.states; first += kAhead) {
        float own[kAhead];
#pragma unroll
        for (int step = 0; step < kAhead; ++step) own[step] = first + step < p.states ? unit[step * elements] : 0.f;
#pragma unroll
        for (int step = 0; step < kAhead; ++step) {
            if (first + step >= p.states) break;
            sum += own[step];
            if (inside) *unit = sum;
            unit += elements;
            if (kTracks) {
                const unsigned largest = __reduce_max_sync(0xffffffffu, inside ? finite_bits(sum) : 0u);
                if (threadIdx.x % 32 == 0 && largest > 0)
                    atomicMax(state_maxima(p, blockIdx.y, first + step) + is_sum, largest);
            }
        }
    }
}

// Grid: (elements / 2 / kScanThreads * states, pairs).
template <class T>
__global__ void hla_round_states(const HlaParams<T> p) {
    const int64_t elements = p.state_floats(), values = static_cast<int64_t>(p.features) * p.shape.value_width;
    const int64_t blocks = (elements / 2 + kScanThreads - 1) / kScanThreads;
    const int state = static_cast<int>(blockIdx.x / blocks), pair = blockIdx.y;
    const int64_t at = (blockIdx.x % blocks * kScanThreads + threadIdx.x) * 2;
    if (at >= elements) return;
    const bool is_sum = at >= values;
    const float scale = power_of_two(state_exponent(state_maxima(p, pair, state)[is_sum]));
    const float2 from = *reinterpret_cast<const float2 *>(
        p.sums + (static_cast<int64_t>(pair) * p.units() + p.splits - 1 + state) * elements + at);
    const int64_t own = static_cast<int64_t>(pair) * p.states + state;
    T *to = is_sum ? p.state_sums + own * p.features + (at - values) : p.state_values + own * values + at;
    *reinterpret_cast<uint32_t *>(to) = Mma<T>::pack(from.x * scale, from.y * scale);
}

}  // namespace attnexport
