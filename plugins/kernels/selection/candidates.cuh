// The exact choice of a row's k largest keys among a few that hold them, by one warp, and their weights.
#pragma once

#include <selection/selection.cuh>

namespace attnexport {

// A key and its score.
struct alignas(8) Candidate {
    float score;
    int key;
};

// Most keys that a row keeps where its values are gathered, and most candidates that a warp chooses them from.
constexpr int kMostKept = 128, kMostCandidates = 384;

// The smallest score that counts: hidden keys have -INFINITY.
constexpr float kLowestScore = -3.402823466e38f;

__device__ __forceinline__ float warp_sum_of_floats(float x) {
#pragma unroll
    for (int step = 16; step > 0; step /= 2) x += __shfl_xor_sync(0xffffffffu, x, step);
    return x;
}

// Ordered scores of a warp, 0 where there is none. Every function gives all lanes the same.
template <int kOwn>
struct WarpScores {
    uint32_t order[kOwn];

    __device__ __forceinline__ int count_from(uint32_t bound) const {
        int found = 0;
#pragma unroll
        for (int at = 0; at < kOwn; ++at) found += order[at] >= bound;
        return warp_sum(found);
    }

    __device__ __forceinline__ uint32_t smallest() const {
        uint32_t low = 0xffffffffu;
#pragma unroll
        for (int at = 0; at < kOwn; ++at)
            if (order[at] != 0) low = min(low, order[at]);
        return __reduce_min_sync(0xffffffffu, low);
    }

    // From where on k of them or more lie, of at least k: k where such a bound exists, else the k-th largest.
    __device__ __forceinline__ uint32_t bound_of(int k) const {
        uint32_t low = smallest(), high = 0;
#pragma unroll
        for (int at = 0; at < kOwn; ++at) high = max(high, order[at]);
        high = __reduce_max_sync(0xffffffffu, high);
        while (low < high) {
            const uint32_t middle = low + (high - low) / 2 + 1;
            const int found = count_from(middle);
            if (found >= k)
                low = middle;
            else
                high = middle - 1;
            if (found == k) break;
        }
        return low;
    }
};

// Candidates of a warp with different keys, absent where the order is 0.
template <int kOwn>
struct WarpCandidates : WarpScores<kOwn> {
    using WarpScores<kOwn>::order;
    int key[kOwn];

    __device__ __forceinline__ void set(int at, bool present, const Candidate &candidate) {
        order[at] = present ? ordered(candidate.score) : 0;
        key[at] = candidate.key;
    }

    // Leaves the k largest, of equal ones those of the lower keys.
    __device__ __forceinline__ void keep_largest(int k) {
        if (this->count_from(1) <= k) return;
        const uint32_t bound = this->bound_of(k);
        int last = INT_MAX;
        if (this->count_from(bound) > k) last = last_tie(bound, k - this->count_from(bound + 1));
#pragma unroll
        for (int at = 0; at < kOwn; ++at)
            if (order[at] < bound || (order[at] == bound && key[at] > last)) order[at] = 0;
    }

  private:
    // The key up to which `room` of those that equal the bound lie.
    __device__ __forceinline__ int last_tie(uint32_t bound, int room) const {
        int low = 0, high = INT_MAX;
        while (low < high) {
            const int middle = low + (high - low) / 2;
            int found = 0;
#pragma unroll
            for (int at = 0; at < kOwn; ++at) found += order[at] == bound && key[at] <= middle;
            if (warp_sum(found) >= room)
                high = middle;
            else
                low = middle + 1;
        }
        return low;
    }
};

// A key that a row keeps, and its weight.
struct alignas(8) KeptKey {
    float weight;
    int key;
};

template <class Variant>
__device__ __forceinline__ float weight_of(float score, float shift, const typename Variant::Row &row) {
    return Variant::kSoftmax ? exp2_fast(Variant::exponent_minus(score, shift, row)) : Variant::exponent(score, row);
}

// One warp writes the kept keys behind one another into shared memory; returns how many, and the sum of their weights.
template <class Variant, int kOwn>
__device__ __forceinline__ int weigh_kept(const WarpCandidates<kOwn> &kept, const typename Variant::Row &row,
                                          float shift, KeptKey *to, float *weights) {
    const unsigned lanes_below = (1u << (threadIdx.x % 32)) - 1;
    int count = 0;
    float sum = 0.f;
#pragma unroll
    for (int at = 0; at < kOwn; ++at) {
        const bool keeps = kept.order[at] != 0;
        const unsigned keepers = __ballot_sync(0xffffffffu, keeps);
        if (keeps) {
            const float weight = weight_of<Variant>(from_ordered(kept.order[at]), shift, row);
            to[count + __popc(keepers & lanes_below)] = KeptKey{weight, kept.key[at]};
            sum += weight;
        }
        count += __popc(keepers);
    }
    __syncwarp();
    *weights = warp_sum_of_floats(sum);
    return count;
}

// The base-2 exponent that a row's weights are taken relative to, of its largest score.
template <class Variant>
__device__ __forceinline__ float weight_shift(float largest, const typename Variant::Row &row) {
    return largest == -INFINITY ? 0.f : Variant::exponent(largest, row);
}

}  // namespace attnexport
