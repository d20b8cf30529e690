// Finds the threshold of every row's top-k selection in one pass over the keys, for small k and whole rows.
//
// The four lanes that hold a row's scores append those above its bound to a list in shared memory. A list that could
// overflow is bisected for its k-th largest, which becomes the bound, and cut down to k entries. What ties with the
// bound never moves it and is not appended; how many of the ties are selected is known at the end.
#pragma once

#include <selection/select_block.cuh>

namespace attnexport {

constexpr int kListOwn = 8, kListCapacity = 32 * kListOwn, kListStride = kListCapacity + 1;

// Largest k: a list cut down to k has room for a whole tile of new candidates.
constexpr int kMostStreamed = kListCapacity - 64;

template <class Variant, class T, class Config>
constexpr size_t stream_select_shared_bytes =
    SelectBlock<Variant, T, Config>::shared_bytes + Config::kRows * kListStride * sizeof(float);

// One warp's view of a row's list, ordered; lanes hold entries lane, lane + 32, ...
struct ListView {
    uint32_t own[kListOwn];

    __device__ __forceinline__ ListView(const float *list, int count) {
#pragma unroll
        for (int step = 0; step < kListOwn; ++step) {
            const int at = step * 32 + threadIdx.x % 32;
            own[step] = at < count ? ordered(list[at]) : 0;
        }
    }

    __device__ __forceinline__ int count_from(uint32_t bound) const {
        int found = 0;
#pragma unroll
        for (int step = 0; step < kListOwn; ++step) found += own[step] >= bound;
        return warp_sum(found);
    }

    // The k-th largest of more than k entries, and how many are larger.
    __device__ __forceinline__ uint32_t kth_largest(int k, int *larger) const {
        uint32_t low = 0xffffffffu, high = 0;
#pragma unroll
        for (int step = 0; step < kListOwn; ++step) {
            high = max(high, own[step]);
            if (own[step] != 0) low = min(low, own[step]);
        }
#pragma unroll
        for (int step = 16; step > 0; step /= 2) {
            high = max(high, __shfl_xor_sync(0xffffffffu, high, step));
            low = min(low, __shfl_xor_sync(0xffffffffu, low, step));
        }
        // At least k entries are >= low, fewer are > high.
        while (low < high) {
            const uint32_t middle = low + (high - low) / 2 + 1;
            const int found = count_from(middle);
            if (found >= k)
                low = middle;
            else
                high = middle - 1;
            if (found == k) break;
        }
        // The smallest entry from low on is the k-th largest.
        uint32_t kth = 0xffffffffu;
#pragma unroll
        for (int step = 0; step < kListOwn; ++step)
            if (own[step] >= low) kth = min(kth, own[step]);
#pragma unroll
        for (int step = 16; step > 0; step /= 2) kth = min(kth, __shfl_xor_sync(0xffffffffu, kth, step));
        *larger = kth == 0xffffffffu ? 0 : count_from(kth + 1);
        return kth;
    }
};

// Cuts a list of more than k entries down to its k largest; returns the smallest of them.
__device__ __forceinline__ float cut_list(float *list, int count, int k) {
    const ListView view(list, count);
    int larger;
    const uint32_t kth = view.kth_largest(k, &larger);
    const unsigned lanes_below = (1u << (threadIdx.x % 32)) - 1;
    int kept = 0;
    __syncwarp();
#pragma unroll
    for (int step = 0; step < kListOwn; ++step) {
        const bool keeps = view.own[step] > kth;
        const unsigned keepers = __ballot_sync(0xffffffffu, keeps);
        if (keeps) list[kept + __popc(keepers & lanes_below)] = from_ordered(view.own[step]);
        kept += __popc(keepers);
    }
    for (int at = kept + threadIdx.x % 32; at < k; at += 32) list[at] = from_ordered(kth);
    __syncwarp();
    return from_ordered(kth);
}

template <class Variant, class T, class Config>
__global__ void __launch_bounds__(Config::kThreads)
    stream_select(const ParamsOf<Variant, T> p, Threshold *thresholds, int wanted) {
    using Block = SelectBlock<Variant, T, Config>;
    constexpr int kCols = Config::kCols;
    static_assert(kCols <= 64, "a lane's scores of a row fit a mask of 16 bits");
    const Block block(p);
    const int lane = threadIdx.x % 32, warp_row = threadIdx.x / 32 * 16;
    float *warp_lists = reinterpret_cast<float *>(Block::rest()) + warp_row * kListStride;

    // Count and bound of a row are held by its four lanes alike.
    int count[2] = {0, 0};
    float bound[2] = {-INFINITY, -INFINITY};
    int tile = block.walk.first();
    if (tile < block.walk.end()) block.load_tile(tile, 0);
    for (int stage = 0, next; tile < block.walk.end(); tile = next, stage ^= 1) {
        wait_for_copies<0>();
        __syncthreads();
        next = block.walk.after(tile);
        if (next < block.walk.end()) block.load_tile(next, stage ^ 1);
        if (block.excludes(tile)) continue;
        typename Config::Scores scores;
        block.scores(scores, stage);
        unsigned above[2] = {0, 0};
#pragma unroll
        for (int n = 0; n < kCols / 8; ++n)
#pragma unroll
            for (int e = 0; e < 4; ++e) above[e / 2] |= scores[0][n].x[e] > bound[e / 2] ? 1u << (n * 2 + e % 2) : 0u;
        if (block.cuts(tile)) {
#pragma unroll
            for (int n = 0; n < kCols / 8; ++n)
#pragma unroll
                for (int e = 0; e < 4; ++e)
                    if (!block.sees(0, e / 2, Block::key_at(tile, n, e))) above[e / 2] &= ~(1u << (n * 2 + e % 2));
        }
        if (!__any_sync(0xffffffffu, (above[0] | above[1]) != 0)) continue;

        bool full = false;
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const int own = __popc(above[half]);
            int up_to = own;
#pragma unroll
            for (int step = 1; step < 4; step *= 2) {
                const int lower = __shfl_up_sync(0xffffffffu, up_to, step, 4);
                if (lane % 4 >= step) up_to += lower;
            }
            float *to = warp_lists + (half * 8 + lane / 4) * kListStride + count[half] + up_to - own;
#pragma unroll
            for (int n = 0; n < kCols / 8; ++n)
#pragma unroll
                for (int e = 0; e < 2; ++e)
                    if (above[half] >> (n * 2 + e) & 1) *to++ = scores[0][n].x[half * 2 + e];
            count[half] += __shfl_sync(0xffffffffu, up_to, 3, 4);
            full |= count[half] > kListCapacity - kCols;
        }
        if (!__any_sync(0xffffffffu, full)) continue;
        __syncwarp();
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            unsigned rows = __ballot_sync(0xffffffffu, count[half] > kListCapacity - kCols);
            for (; rows != 0; rows &= ~(0xfu << (__ffs(rows) - 1))) {
                const int holder = __ffs(rows) - 1, entries = __shfl_sync(0xffffffffu, count[half], holder);
                const float cut = cut_list(warp_lists + (half * 8 + holder / 4) * kListStride, entries, wanted);
                if (lane / 4 == holder / 4) {
                    bound[half] = cut;
                    count[half] = wanted;
                }
            }
        }
    }
    wait_for_copies<0>();
    __syncwarp();
#pragma unroll
    for (int half = 0; half < 2; ++half)
        for (int row = 0; row < 8; ++row) {
            const int entries = __shfl_sync(0xffffffffu, count[half], row * 4);
            const int at = warp_row + half * 8 + row;
            Threshold threshold{-INFINITY, INT_MAX, INT_MAX};
            if (entries >= wanted) {
                int larger;
                const ListView view(warp_lists + (half * 8 + row) * kListStride, entries);
                threshold.score = from_ordered(view.kth_largest(wanted, &larger));
                threshold.room = wanted - larger;
            }
            if (lane == 0 && block.first + at < block.total) thresholds[block.first_row() + at] = threshold;
        }
}

}  // namespace attnexport
