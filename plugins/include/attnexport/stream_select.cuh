// Finds the threshold of every row's top-k selection in one pass over the keys, for small k and whole rows.
//
// The four lanes that hold a row's scores append those above its bound to a list in shared memory. A list that could
// overflow is bisected for its k-th largest, which becomes the bound, and cut down to k entries. What ties with the
// bound never moves it and is not appended; how many of the ties are selected is known at the end.
#pragma once

#include <attnexport/attention_forward.cuh>

namespace attnexport {

constexpr int kListOwn = 8, kListCapacity = 32 * kListOwn, kListStride = kListCapacity + 1;

// Largest k: a list cut down to k has room for a whole tile of new candidates.
constexpr int kMostStreamed = kListCapacity - 64;

template <class Config, class T>
constexpr size_t stream_select_shared_bytes() {
    return sizeof(T) * (Tile<T, Config::kRows, Config::kWidth>::kElements + 2 * Tile<T, Config::kCols, Config::kWidth>::kElements) +
           2 * Config::kCols * sizeof(float) + kBoundsScratch * sizeof(int) + Config::kRows * kListStride * sizeof(float);
}

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
    constexpr int kWidth = Config::kWidth, kCols = Config::kCols, kRows = Config::kRows;
    static_assert(Config::kRowTiles == 1 && kCols <= 64, "a lane's scores of a row fit a mask of 16 bits");
    unsigned char *memory = dynamic_shared();
    const uint32_t q_tile = shared_address(memory);
    const uint32_t k_tiles = q_tile + Tile<T, kRows, kWidth>::kElements * sizeof(T);
    constexpr uint32_t kTileBytes = Tile<T, kCols, kWidth>::kElements * sizeof(T);
    float *key_norms = reinterpret_cast<float *>(memory + Tile<T, kRows, kWidth>::kElements * sizeof(T) + 2 * kTileBytes);
    int *scratch = reinterpret_cast<int *>(key_norms + 2 * kCols);
    float *lists = reinterpret_cast<float *>(scratch + kBoundsScratch);

    const Shape &shape = p.shape;
    const Neighbourhood near = neighbourhood_of<Variant>(p);
    const int group = shape.heads / shape.kv_heads, total = shape.group_rows();
    const int first = (gridDim.x - 1 - blockIdx.x) * kRows;
    const int kv_head = blockIdx.y % shape.kv_heads, batch = blockIdx.y / shape.kv_heads;
    const int64_t pair = blockIdx.y;
    const float *norms = Variant::kKeyNorms ? p.key_norms + pair * shape.keys : nullptr;
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, warp_row = warp * 16;
    float *warp_lists = lists + warp_row * kListStride;

    TileLoader<T, kRows, kWidth, Config::kThreads>(p.q + pair * total * shape.width, shape.width).load(q_tile, first, total);
    commit_copies();
    const BlockBounds bounds = block_bounds<kRows, Config::kThreads>(shape, near, batch, first, scratch);
    typename Variant::Row row_state[1][2];
    KeyRange seen[2];
    RangeBounds warp_range;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
        const int row = first + warp_row + half * 8 + lane / 4, known = min(row, total - 1);
        seen[half] = row < total ? visible_keys(shape, near, batch, row % shape.rows) : KeyRange{0, 0};
        row_state[0][half] =
            Variant::row(p.row_params, shape, batch, kv_head * group + known / shape.rows, known % shape.rows);
        if (row < total) warp_range.include(seen[half]);
    }
    warp_range.join_rows_of_warp<Variant::kNear>();
    const TileWalk<Variant::kNear> walk(shape, near, bounds, first, kRows, kCols, 1);
    const TileLoader<T, kCols, kWidth, Config::kThreads> key_loader(p.k + pair * shape.keys * shape.width, shape.width);
    const int present = present_keys(shape, batch);
    auto load_tile = [&](int index, int stage) {
        const int begin = index * kCols;
        key_loader.load(k_tiles + stage * kTileBytes, begin, present);
        if (Variant::kKeyNorms) {
            for (int column = threadIdx.x; column < kCols; column += Config::kThreads) {
                const bool inside = begin + column < present;
                copy_async_4(shared_address(key_norms + stage * kCols + column), norms + (inside ? begin + column : 0),
                             inside ? 4 : 0);
            }
        }
        commit_copies();
    };

    // Count and bound of a row are held by its four lanes alike.
    int count[2] = {0, 0};
    float bound[2] = {-INFINITY, -INFINITY};
    const bool grid = near.grid_width > 0;
    int tile = walk.first();
    if (tile < walk.end()) load_tile(tile, 0);
    for (int stage = 0, next; tile < walk.end(); tile = next, stage ^= 1) {
        wait_for_copies<0>();
        __syncthreads();
        next = walk.after(tile);
        if (next < walk.end()) load_tile(next, stage ^ 1);
        const int begin = tile * kCols;
        if (warp_range.excludes(begin, begin + kCols)) continue;
        Accumulator scores[1][kCols / 8];
        tile_scores<Variant, T, Config>(
            scores, row_state, key_norms + stage * kCols, q_tile, k_tiles + stage * kTileBytes, warp_row);
        const bool partial = warp_range.cuts(begin, begin + kCols) || grid;
        unsigned above[2] = {0, 0};
#pragma unroll
        for (int n = 0; n < kCols / 8; ++n)
#pragma unroll
            for (int e = 0; e < 4; ++e)
                above[e / 2] |= scores[0][n].x[e] > bound[e / 2] ? 1u << (n * 2 + e % 2) : 0u;
        if (partial) {
#pragma unroll
            for (int n = 0; n < kCols / 8; ++n)
#pragma unroll
                for (int e = 0; e < 4; ++e) {
                    const int key = begin + n * 8 + (lane % 4) * 2 + e % 2;
                    bool hidden = key < seen[e / 2].low || key >= seen[e / 2].high;
                    if (grid) {
                        const int i = (first + warp_row + e / 2 * 8 + lane / 4) % shape.rows;
                        hidden = hidden || !grid_sees(near, i, cell_of(near, i), key);
                    }
                    if (hidden) above[e / 2] &= ~(1u << (n * 2 + e % 2));
                }
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
            const int at = first + warp_row + half * 8 + row;
            Threshold threshold{-INFINITY, INT_MAX, INT_MAX};
            if (entries >= wanted) {
                int larger;
                const ListView view(warp_lists + (half * 8 + row) * kListStride, entries);
                threshold.score = from_ordered(view.kth_largest(wanted, &larger));
                threshold.room = wanted - larger;
            }
            if (lane == 0 && at < total) thresholds[pair * total + at] = threshold;
        }
}

}  // namespace attnexport
