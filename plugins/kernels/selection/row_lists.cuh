// Candidates of a warp's rows in memory, a list for every lane and row, and the exact choice among them.
#pragma once

#include <selection/candidates.cuh>

namespace attnexport {

struct ListParams {
    int wanted;
    int slots;         // candidates of a lane and row
    Candidate *lists;  // (warps, 2, slots, 32)
};

// The float of an order; both zeros are one.
__device__ __forceinline__ float float_of(uint32_t order) {
    return __uint_as_float(order & 0x80000000u ? order & 0x7fffffffu : ~order);
}

// The next larger float; NaN, which nothing reaches, behind infinity.
__device__ __forceinline__ float next_above(float score) { return float_of(ordered(score) + 1); }

// Candidates that a tile adds to a lane's list at most, and those that a list has room for at most.
constexpr int kTileSlots = 16, kMostSlots = 64;

__device__ __forceinline__ int quad_sum_of(int x) {
    x += __shfl_xor_sync(0xffffffffu, x, 1);
    return x + __shfl_xor_sync(0xffffffffu, x, 2);
}

// A bound, and how many of a row's scores reach it.
struct ScoreBound {
    float score;
    int reached;
};

// Scores of eight rows, each held by the four lanes of a quad; -INFINITY where there is none.
template <int kCount>
struct QuadScores {
    static constexpr int kChunk = 16;
    static_assert(kCount % kChunk == 0);

    float score[kCount];
    int used;  // of them, the same in all lanes; those behind are not looked at

    // How many of the lane's scores reach a bound.
    __device__ __forceinline__ int own_from(float bound) const {
        int found[4] = {};  // sums that do not wait for one another
#pragma unroll
        for (int chunk = 0; chunk < kCount; chunk += kChunk)
            if (chunk < used)
#pragma unroll
                for (int at = chunk; at < chunk + kChunk; ++at) found[at % 4] += score[at] >= bound;
        return found[0] + found[1] + (found[2] + found[3]);
    }

    __device__ __forceinline__ int count_from(float bound) const { return quad_sum_of(own_from(bound)); }

    // A bound that k to k + spare of a row's scores reach, or the k-th largest where more tie with it. All lie from
    // `lowest` to `largest`; `lowest` where there are no more.
    __device__ __forceinline__ ScoreBound bound_of(int k, int spare, float lowest, float largest) const {
        const float wanted = __log2f(static_cast<float>(k) + 0.5f * static_cast<float>(spare));
        uint32_t low = ordered(lowest), high = ordered(largest) + 1;  // fewer than k reach `high`
        int reached = count_from(lowest), above = 0;
        for (int turn = 0;; ++turn) {
            const bool narrows = reached > k + spare && high - low > 1;
            if (!__any_sync(0xffffffffu, narrows)) break;
            uint32_t middle = low + (high - low) / 2;
            if (turn % 4 != 3) {
                // The logarithm of the count is nearly linear where scores are few.
                const float from = __log2f(static_cast<float>(reached));
                const float to = above > 0 ? __log2f(static_cast<float>(above)) : -1.f;
                const float first = float_of(low), last = float_of(high - 1);
                const float guess = fmaf(last - first, __fdividef(from - wanted, from - to), first);
                if (guess > first && guess <= last) middle = max(ordered(guess), low + 1);
            }
            const int found = count_from(float_of(middle));
            if (!narrows) continue;
            if (found >= k) {
                low = middle;
                reached = found;
            } else {
                high = middle;
                above = found;
            }
        }
        return ScoreBound{float_of(low), reached};
    }
};

// Which of a row's candidates it keeps.
struct KeptRange {
    float bound;
    int last;  // key of the last that equals the bound
    int own;   // how many of them are this lane's

    __device__ __forceinline__ bool keeps(float score, int key) const {
        return score > bound || (score == bound && key <= last);
    }
};

// What is found of a row. Its four lanes hold the same but for counts and sums.
struct ListedRow {
    float largest;  // of all scores, or NaN
    float limit;    // scores from here on are listed
    float lowest;   // no listed score is lower
    int count;      // this lane's
    float sum;      // of the weights of all keys, this lane's share
};

// The lists of a warp. Lane `lane` of a quad has the columns of a tile whose pairs leave lane % 4 of 4. A lane's two
// rows are its halves.
class WarpLists {
  public:
    using Scores = QuadScores<kMostSlots>;

    // Those of the warp-th warp of all.
    __device__ __forceinline__ WarpLists(const ListParams &params, int warp)
        : wanted_(params.wanted),
          slots_(params.slots),
          lists_(params.lists + static_cast<int64_t>(warp) * 32 * 2 * params.slots) {}

    __device__ __forceinline__ Candidate *at(int half, int slot, int lane) const {
        return lists_ + (half * slots_ + slot) * 32 + lane;
    }

    __device__ __forceinline__ Candidate *own(int half, int slot) const { return at(half, slot, threadIdx.x % 32); }

    // Whether a lane with so many candidates of a row has no room for those of so many whole tiles.
    __device__ __forceinline__ bool crowds(int count, int tiles) const { return count > slots_ - tiles * kTileSlots; }

    // The scores of the rows of one half, of which this lane has `count`.
    __device__ __forceinline__ void read(int half, int count, Scores &scores) const {
        scores.used = __reduce_max_sync(0xffffffffu, count);
#pragma unroll
        for (int slot = 0; slot < kMostSlots; ++slot) {
            scores.score[slot] = -INFINITY;
            if (slot < count) scores.score[slot] = own(half, slot)->score;
        }
    }

    // The k largest of every row of one half, of equal ones those of the lower keys.
    __device__ __forceinline__ KeptRange choose(int half, const ListedRow &row, const Scores &scores) const {
        const ScoreBound bound = scores.bound_of(wanted_, 0, row.lowest, row.largest);
        KeptRange kept{bound.score, INT_MAX, scores.own_from(bound.score)};
        // Of a list that was cut, keys that equal the lowest may be missing.
        const bool ends = bound.reached > wanted_ || row.limit > row.lowest;
        if (!__any_sync(0xffffffffu, ends)) return kept;
        const int own_above = scores.own_from(next_above(bound.score)), above = quad_sum_of(own_above);
        const KeptRange ties =
            first_ties(half, row.count, scores.used, bound.score, min(bound.reached, wanted_) - above);
        if (ends) kept = KeptRange{bound.score, ties.last, own_above + ties.own};
        return kept;
    }

    // Calls f(candidate) for every candidate of this lane and a row.
    template <class F>
    __device__ __forceinline__ void for_each(int half, int count, F f) const {
        constexpr int kAhead = 8;
        for (int first = 0; first < count; first += kAhead) {
            Candidate candidate[kAhead];
#pragma unroll
            for (int ahead = 0; ahead < kAhead; ++ahead) {
                candidate[ahead] = Candidate{-INFINITY, 0};
                if (first + ahead < count) candidate[ahead] = *own(half, first + ahead);
            }
#pragma unroll
            for (int ahead = 0; ahead < kAhead; ++ahead)
                if (first + ahead < count) f(candidate[ahead]);
        }
    }

    // Calls f(place, candidate) for every candidate that a row of one half keeps, whose places count from 0.
    // What f writes into the list of the row up to the place is not read any more. Returns how many the row keeps.
    template <class F>
    __device__ __forceinline__ int for_each_kept(int half, int count, int used, const KeptRange &kept, F f) const {
        constexpr int kAhead = 8;
        const int quad = threadIdx.x % 32 / 4, lane = threadIdx.x % 4;
        int total = 0;
        for (int first = 0; first < used; first += kAhead) {
            Candidate candidate[kAhead];
#pragma unroll
            for (int ahead = 0; ahead < kAhead; ++ahead) {
                candidate[ahead] = Candidate{0.f, 0};
                if (first + ahead < count) candidate[ahead] = *own(half, first + ahead);
            }
            __syncwarp();
#pragma unroll
            for (int ahead = 0; ahead < kAhead; ++ahead) {
                const bool keeps = first + ahead < count && kept.keeps(candidate[ahead].score, candidate[ahead].key);
                const unsigned keepers = __ballot_sync(0xffffffffu, keeps) >> (quad * 4) & 0xf;
                if (keeps) f(total + __popc(keepers & ((1u << lane) - 1)), candidate[ahead]);
                total += __popc(keepers);
            }
            __syncwarp();
        }
        return total;
    }

    // Leaves the kept candidates, dealt out to the four lanes of each row. Keys to come that equal the smallest of k
    // kept ones lose.
    __device__ __forceinline__ void cut(int half, const KeptRange &kept, int used, ListedRow &row) const {
        const int quad = threadIdx.x % 32 / 4, lane = threadIdx.x % 4;
        float smallest = INFINITY;
        const int total = for_each_kept(half, row.count, used, kept, [&](int place, const Candidate &candidate) {
            *at(half, place / 4, quad * 4 + place % 4) = candidate;
            smallest = fminf(smallest, candidate.score);
        });
        smallest = fminf(smallest, __shfl_xor_sync(0xffffffffu, smallest, 1));
        smallest = fminf(smallest, __shfl_xor_sync(0xffffffffu, smallest, 2));
        row.count = (total + 3 - lane) / 4;
        if (total < wanted_) return;
        row.lowest = smallest;
        row.limit = next_above(smallest);
    }

  private:
    // Of a row's candidates that equal the bound the `room` of the lowest keys.
    __device__ __forceinline__ KeptRange first_ties(int half, int count, int used, float bound, int room) const {
        int key[kMostSlots], low = -1, high = 0;
#pragma unroll
        for (int slot = 0; slot < kMostSlots; ++slot) {
            key[slot] = INT_MAX;
            if (slot >= count) continue;
            const Candidate candidate = *own(half, slot);
            if (candidate.score != bound) continue;
            key[slot] = candidate.key;
            high = max(high, candidate.key);
        }
        const auto own_to = [&](int last) {
            int found[4] = {};
#pragma unroll
            for (int chunk = 0; chunk < kMostSlots; chunk += Scores::kChunk)
                if (chunk < used)
#pragma unroll
                    for (int slot = chunk; slot < chunk + Scores::kChunk; ++slot) found[slot % 4] += key[slot] <= last;
            return found[0] + found[1] + (found[2] + found[3]);
        };
#pragma unroll
        for (int step = 1; step < 4; step *= 2) high = max(high, __shfl_xor_sync(0xffffffffu, high, step));
        while (__any_sync(0xffffffffu, low < high)) {
            const int middle = low + (high - low) / 2;
            const int found = quad_sum_of(own_to(middle));
            if (low >= high) continue;
            if (found >= room)
                high = middle;
            else
                low = middle + 1;
        }
        return KeptRange{bound, low, own_to(low)};
    }

    const int wanted_, slots_;
    Candidate *const lists_;
};

}  // namespace attnexport
