// Selection and result of rows whose scores lie in memory, one block a row.
//
// The k-th largest of the largest scores of 256 groups of keys is a bound that k keys reach, and seldom many more:
// these are listed, and a warp chooses among them. Where too many reach it, all scores are bisected for their k-th
// largest.
#pragma once

#include <selection/gather.cuh>
#include <selection/write_scores.cuh>

namespace attnexport {

constexpr int kScoreGroups = 256, kMostScoreThreads = 1024;

// Sums over the block's threads, in a fixed order. `scratch` holds a number a warp; every call begins with a barrier.
__device__ __forceinline__ float block_sum(float x, float *scratch) {
    x = warp_sum_of_floats(x);
    __syncthreads();
    if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = x;
    __syncthreads();
    float sum = 0.f;
    for (int warp = 0; warp < static_cast<int>(blockDim.x) / 32; ++warp) sum += scratch[warp];
    return sum;
}

// The sum of x over the threads before this one, and over all.
__device__ __forceinline__ int sum_before(int x, int *scratch, int *total) {
    const int lane = threadIdx.x % 32;
    int up_to = x;
#pragma unroll
    for (int step = 1; step < 32; step *= 2) {
        const int lower = __shfl_up_sync(0xffffffffu, up_to, step);
        if (lane >= step) up_to += lower;
    }
    __syncthreads();
    if (lane == 31) scratch[threadIdx.x / 32] = up_to;
    __syncthreads();
    int before = 0, all = 0;
    for (int warp = 0; warp < static_cast<int>(blockDim.x) / 32; ++warp) {
        if (warp == static_cast<int>(threadIdx.x) / 32) before = all;
        all += scratch[warp];
    }
    *total = all;
    return before + up_to - x;
}

// The scores of the keys that a row sees.
struct RowScores {
    const float *scores;
    KeyRange seen;

    // Calls f(score, key) for this thread's keys.
    template <class F>
    __device__ __forceinline__ void for_own(F f) const {
#pragma unroll 8
        for (int key = seen.low + threadIdx.x; key < seen.high; key += blockDim.x) f(scores[key], key);
    }
};

// What the threads of a block share.
struct ScoreSelection {
    float peaks[kScoreGroups];
    float limit, largest;
    int counts[kMostScoreThreads / 32];
    Candidate listed[kMostCandidates];
    KeptKey kept[kMostKept];
};

// Finds the largest score, NaN where there is one, and a bound that `wanted` of the groups reach.
__device__ __forceinline__ void find_bound(const RowScores &row, int wanted, ScoreSelection &shared) {
    float peak = -INFINITY;
    row.for_own([&](float score, int) { peak = max_or_nan(peak, score); });
    const int merged = max(1, static_cast<int>(blockDim.x) / kScoreGroups);
    for (int step = 1; step < merged; step *= 2) peak = max_or_nan(peak, __shfl_xor_sync(0xffffffffu, peak, step));
    if (threadIdx.x % merged == 0) shared.peaks[threadIdx.x / merged] = peak;
    for (int at = blockDim.x + threadIdx.x; at < kScoreGroups; at += blockDim.x) shared.peaks[at] = -INFINITY;
    __syncthreads();
    if (threadIdx.x >= 32) return;
    WarpScores<kScoreGroups / 32> all;
    float largest = -INFINITY;
#pragma unroll
    for (int at = 0; at < kScoreGroups / 32; ++at) {
        const float own = shared.peaks[at * 32 + threadIdx.x];
        all.order[at] = ordered(own);
        largest = max_or_nan(largest, own);
    }
#pragma unroll
    for (int step = 16; step > 0; step /= 2) largest = max_or_nan(largest, __shfl_xor_sync(0xffffffffu, largest, step));
    const float bound = from_ordered(all.bound_of(wanted));
    if (threadIdx.x == 0) {
        shared.largest = largest;
        shared.limit = fmaxf(bound, kLowestScore);
    }
}

// Lists the k largest of more than k scores, of equal ones those of the lower keys: bisects all of them.
__device__ __forceinline__ void list_exactly(const RowScores &row, int wanted, ScoreSelection &shared) {
    int found = 0;
    const auto count_from = [&](uint32_t bound) {
        int own = 0;
        row.for_own([&](float score, int) { own += ordered(score) >= bound; });
        sum_before(own, shared.counts, &found);
        return found;
    };
    uint32_t low = ordered(shared.limit), high = ordered(shared.largest);
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2 + 1;
        if (count_from(middle) >= wanted)
            low = middle;
        else
            high = middle - 1;
    }
    int own = 0, larger;
    row.for_own([&](float score, int) { own += ordered(score) > low; });
    int place = sum_before(own, shared.counts, &larger);
    row.for_own([&](float score, int key) {
        if (ordered(score) > low) shared.listed[place++] = Candidate{score, key};
    });
    // The first of those that equal the k-th largest.
    for (int first = row.seen.low, taken = larger; taken < wanted && first < row.seen.high; first += blockDim.x) {
        const int key = first + static_cast<int>(threadIdx.x);
        const bool ties = key < row.seen.high && ordered(row.scores[key]) == low;
        place = taken + sum_before(ties, shared.counts, &found);
        if (ties && place < wanted) shared.listed[place] = Candidate{row.scores[key], key};
        taken += found;
    }
}

// Lists the keys from the bound on; returns how many are listed.
__device__ __forceinline__ int list_candidates(const RowScores &row, int wanted, ScoreSelection &shared) {
    int own = 0, total;
    row.for_own([&](float score, int) { own += score >= shared.limit; });
    int place = sum_before(own, shared.counts, &total);
    if (total > kMostCandidates) {
        list_exactly(row, wanted, shared);
        return wanted;
    }
    row.for_own([&](float score, int key) {
        if (score >= shared.limit) shared.listed[place++] = Candidate{score, key};
    });
    return total;
}

template <class T>
__device__ __forceinline__ void gather_any_width(const T *values, int width, const KeptKey *kept, int count,
                                                 float factor, T *out) {
    if (width <= 64)
        gather_values<T, 8>(values, width, kept, count, factor, out);
    else if (width <= 128)
        gather_values<T, 16>(values, width, kept, count, factor, out);
    else
        gather_values<T, 32>(values, width, kept, count, factor, out);
}

template <class Variant, class T>
__global__ void __launch_bounds__(kMostScoreThreads)
    select_from_scores(const ParamsOf<Variant, T> p, const ScoreParams from) {
    static_assert(!Variant::kAdds, "the result is a weighted sum of the kept values");
    __shared__ ScoreSelection shared;
    const Shape &shape = p.shape;
    const int group = shape.heads / shape.kv_heads, total = shape.group_rows();
    const int pair = blockIdx.x / total, row_of_pair = blockIdx.x % total, i = row_of_pair % shape.rows;
    const int batch = pair / shape.kv_heads, head = pair % shape.kv_heads * group + row_of_pair / shape.rows;
    const RowScores row{from.scores + static_cast<int64_t>(blockIdx.x) * from.stride,
                        visible_keys(shape, neighbourhood_of<Variant>(p), batch, i)};
    find_bound(row, from.wanted, shared);
    __syncthreads();
    const float largest = shared.largest;
    const typename Variant::Row state = Variant::row(p.row_params, shape, batch, head, i);
    const float shift = weight_shift<Variant>(largest, state);
    const bool is_number = largest == largest, over_all = Variant::kSoftmax && p.normalise_over_all;
    int listed = 0;
    float all = 0.f;
    if (is_number) {
        listed = list_candidates(row, from.wanted, shared);
        if (over_all) {
            row.for_own([&](float score, int) { all += exp2_fast(Variant::exponent_minus(score, shift, state)); });
            all = block_sum(all, shared.peaks);
        }
    }
    __syncthreads();
    if (threadIdx.x >= 32) return;
    WarpCandidates<kMostCandidates / 32> candidates;
#pragma unroll
    for (int at = 0; at < kMostCandidates / 32; ++at) {
        const int place = at * 32 + threadIdx.x;
        Candidate candidate{0.f, 0};
        if (place < listed) candidate = shared.listed[place];
        candidates.set(at, place < listed, candidate);
    }
    candidates.keep_largest(from.wanted);
    float sum;
    const int count = weigh_kept<Variant>(candidates, state, shift, shared.kept, &sum);
    const float factor = Variant::normalise(over_all ? all : sum, state);
    const int width = shape.value_width;
    gather_any_width(p.v + static_cast<int64_t>(pair) * shape.keys * width, width, shared.kept, count,
                     is_number ? factor : largest, p.out + static_cast<int64_t>(blockIdx.x) * width);
}

}  // namespace attnexport
