// Exact selection of the k largest scores of a row, ties going to the lower index, without a list of all scores.
//
// A score and its index are compared as 64 bits: the score as an ordered integer, then the index, inverted. Radix
// passes over the keys narrow the bin in which the k-th largest lies until it holds at most kBins candidates; one more
// pass collects these, and a warp bisects them. Only when scores tie across the border do passes over digits of the
// index follow. Every pass computes the scores again, to the same bits.
#pragma once

#include <forward/params.cuh>

#include <climits>

namespace attnexport {

constexpr int kDigitBits = 8, kBins = 1 << kDigitBits;
constexpr int kScoreDigits = 4, kDigits = 8;

// Order of floats as unsigned integers; both zeros are equal.
__device__ __forceinline__ uint32_t ordered(float score) {
    const uint32_t bits = __float_as_uint(score + 0.f);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

// The float of that order; -INFINITY for what lies below all finite ones.
__device__ __forceinline__ float from_ordered(uint32_t order) {
    if (order < 0x00800000u) return -INFINITY;
    return __uint_as_float(order & 0x80000000u ? order & 0x7fffffffu : ~order);
}

// Leaves the room for ties out of account. NaN is selected: a row that sees it is NaN.
__device__ __forceinline__ bool is_selected(float score, int key, const Threshold &threshold) {
    return score == threshold.score ? key <= threshold.last : !(score < threshold.score);
}

// What is known of a row's k-th largest after some digits.
struct SelectionState {
    uint32_t score;  // its ordered score's digits so far, zeros behind
    uint32_t index;  // its inverted index's digits so far
    int remaining;   // how many of the candidates that share these digits are still wanted
    int candidates;  // how many share them, at most
    int done;        // all of them are wanted: the digits so far are the threshold

    static __device__ __forceinline__ SelectionState start(int wanted, int keys) {
        return SelectionState{0, 0, wanted, keys, keys <= wanted};
    }

    __device__ __forceinline__ Threshold threshold() const {
        return Threshold{from_ordered(score), static_cast<int>(min(~index, static_cast<uint32_t>(INT_MAX))), INT_MAX};
    }
};

// The digits that are looked at: those of the score, then those of the inverted index that differ among the keys.
struct Digits {
    int first_index;

    __host__ __device__ explicit Digits(int keys) {
        int count = 1;
        while (count < kDigits - kScoreDigits && (keys - 1) >> (count * kDigitBits) > 0) ++count;
        first_index = kDigits - count;
    }

    __host__ __device__ int after(int digit) const { return digit == kScoreDigits - 1 ? first_index : digit + 1; }
};

// The candidates of a row before digit `pass`: ordered scores in score .. score + span.
__device__ __forceinline__ uint32_t candidate_span(int pass) {
    return pass >= kScoreDigits ? 0 : 0xffffffffu >> (kDigitBits * pass);
}

// The candidate's digit, or -1 when its earlier digits are not those of the state.
__device__ __forceinline__ int candidate_digit(const SelectionState &state, Digits digits, int pass, float score,
                                               int key) {
    const uint32_t order = ordered(score);
    if (order - state.score > candidate_span(pass)) return -1;
    if (pass < kScoreDigits) return order >> (32 - kDigitBits * (pass + 1)) & (kBins - 1);
    const uint32_t inverted = ~static_cast<uint32_t>(key);
    const int shift = 32 - kDigitBits * (pass - kScoreDigits + 1);
    if (pass > digits.first_index && (inverted ^ state.index) >> (shift + kDigitBits) != 0) return -1;
    return inverted >> shift & (kBins - 1);
}

// One warp reads a row's histogram of digit `pass` and moves its state on; every lane gets the result.
__device__ __forceinline__ SelectionState pick_digit(SelectionState state, Digits digits, int pass, const int *bins) {
    if (state.done) return state;
    const int lane = threadIdx.x % 32;
    constexpr int kOwn = kBins / 32;
    // Lane 0 holds the highest bins.
    int own[kOwn], count = 0;
#pragma unroll
    for (int step = 0; step < kOwn; ++step) {
        own[step] = bins[kBins - 1 - (lane * kOwn + step)];
        count += own[step];
    }
    int above = count;
#pragma unroll
    for (int step = 1; step < 32; step *= 2) {
        const int lower = __shfl_up_sync(0xffffffffu, above, step);
        if (lane >= step) above += lower;
    }
    const int total = __shfl_sync(0xffffffffu, above, 31);
    above -= count;
    if (total <= state.remaining) {  // fewer keys than wanted: only before the first digit
        state.done = 1;
        return state;
    }
    const unsigned holders = __ballot_sync(0xffffffffu, above < state.remaining && state.remaining <= above + count);
    const int holder = __ffs(holders) - 1;
    int digit = 0, left = state.remaining - above, inside = 0;
#pragma unroll
    for (int step = 0; step < kOwn; ++step) {
        if (inside == 0) {
            if (left <= own[step]) {
                digit = kBins - 1 - (lane * kOwn + step);
                inside = own[step];
            } else {
                left -= own[step];
            }
        }
    }
    digit = __shfl_sync(0xffffffffu, digit, holder);
    left = __shfl_sync(0xffffffffu, left, holder);
    inside = __shfl_sync(0xffffffffu, inside, holder);
    if (pass < kScoreDigits) {
        state.score |= static_cast<uint32_t>(digit) << (32 - kDigitBits * (pass + 1));
    } else {
        const int shift = 32 - kDigitBits * (pass - kScoreDigits + 1);
        if (pass == digits.first_index && pass > kScoreDigits) state.index = 0xffffffffu << (shift + kDigitBits);
        state.index |= static_cast<uint32_t>(digit) << shift;
    }
    state.remaining = left;
    state.candidates = inside;
    state.done = inside == left;
    return state;
}

__device__ __forceinline__ int warp_sum(int x) { return __reduce_add_sync(0xffffffffu, x); }

// One warp finds the remaining-th largest of a row's collected candidates; every lane gets the result, which is done
// unless more candidates tie at the threshold than are wanted.
__device__ __forceinline__ SelectionState pick_candidate(SelectionState state, const float *collected, int count) {
    if (state.done) return state;
    if (count <= state.remaining) {
        state.done = 1;
        return state;
    }
    const int lane = threadIdx.x % 32;
    constexpr int kOwn = kBins / 32;
    uint32_t own[kOwn];
#pragma unroll
    for (int step = 0; step < kOwn; ++step) {
        const int at = step * 32 + lane;
        own[step] = at < count ? ordered(collected[at]) : 0;
    }
    uint32_t low = 0xffffffffu, high = 0;
#pragma unroll
    for (int step = 0; step < kOwn; ++step) {
        high = max(high, own[step]);
        if (step * 32 + lane < count) low = min(low, own[step]);
    }
#pragma unroll
    for (int step = 16; step > 0; step /= 2) {
        high = max(high, __shfl_xor_sync(0xffffffffu, high, step));
        low = min(low, __shfl_xor_sync(0xffffffffu, low, step));
    }
    const auto count_from = [&](uint32_t bound) {
        int found = 0;
#pragma unroll
        for (int step = 0; step < kOwn; ++step) found += own[step] >= bound;
        return warp_sum(found);
    };
    // At least `remaining` candidates are >= low, fewer are > high.
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2 + 1;
        const int found = count_from(middle);
        if (found == state.remaining) {
            state.score = middle;
            state.done = 1;
            return state;
        }
        if (found > state.remaining)
            low = middle;
        else
            high = middle - 1;
    }
    state.score = low;
    state.candidates = count_from(low);
    state.done = state.candidates == state.remaining;
    const int above = low == 0xffffffffu ? 0 : count_from(low + 1);
    state.candidates -= above;
    state.remaining -= above;
    return state;
}

}  // namespace attnexport
