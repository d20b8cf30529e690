// Selection and result of whole rows in one kernel, for few kept keys.
//
// A block walks over its keys twice. The first walk keeps the largest score of each of 128 groups of a row's keys; the
// k-th largest of these is a bound that the k largest scores of the row reach. The second walk lists what reaches it:
// little more than k keys of most rows, each lane those of its own columns, so that lanes need not agree on places. A
// list that could overflow is cut down to the k largest, and the bound raised. At the end the k largest of every list
// are chosen. Their values are gathered; where a block sees few keys, a third walk over all of them takes less time.
#pragma once

#include <forward/mask.cuh>
#include <forward/softmax.cuh>
#include <selection/gather.cuh>
#include <selection/row_lists.cuh>
#include <selection/select_block.cuh>

#include <algorithm>

namespace attnexport {

// Where a row's result comes from: a walk over all values, or those of the kept keys.
enum class ResultOf { kAllValues, kKeptValues };

// Block gives the rows, their memory and the scores of their tiles: SelectBlock, and on Hopper sm90::ListBlock.
template <class Variant, class T, class Config, class Block = SelectBlock<Variant, T, Config>>
class RowsByLists {
    using Scores = typename Config::Scores;
    static constexpr int kTiles = Config::kCols / 8, kGroupsOfLane = Config::kCols / 2, kQuads = 8;
    static_assert(Config::kRowTiles == 1 && Config::kCols / 4 == kTileSlots);

  public:
    // Shared memory that the tiles leave when the rows are walked through: a list for each of eight rows of a warp.
    static constexpr size_t kKeptBytes = Config::kWarps * kQuads * kMostKept * sizeof(KeptKey);

    __device__ __forceinline__ RowsByLists(const ParamsOf<Variant, T> &p, const ListParams &params, const Block &block,
                                           const WarpLists &lists)
        : p_(p),
          wanted_(params.wanted),
          block_(block),
          lists_(lists),
          over_all_(Variant::kSoftmax && p.normalise_over_all) {}

    // The first walk.
    __device__ __forceinline__ void find_bounds() {
        float peaks[2][kTiles][4];
#pragma unroll
        for (int n = 0; n < kTiles; ++n)
#pragma unroll
            for (int e = 0; e < 4; ++e) peaks[0][n][e] = peaks[1][n][e] = -INFINITY;
        block_.template for_each_scores<Registers::kTaken>([] {},
                                                           [&](Scores &scores, int tile, int part) {
                                                               hide_unseen(scores, tile);
                                                               if (part == 0)
                                                                   raise(peaks[0], scores);
                                                               else
                                                                   raise(peaks[1], scores);
                                                           });
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            QuadScores<kGroupsOfLane> groups;
            groups.used = kGroupsOfLane;
            float largest = -INFINITY, lowest = INFINITY;
#pragma unroll
            for (int at = 0; at < kGroupsOfLane; ++at) {
                const float peak = peaks[at % 2][at / 4][half * 2 + at / 2 % 2];
                groups.score[at] = peak;
                largest = max_or_nan(largest, peak);
                if (peak >= kLowestScore) lowest = fminf(lowest, peak);
            }
#pragma unroll
            for (int step = 1; step < 4; step *= 2) {
                largest = max_or_nan(largest, __shfl_xor_sync(0xffffffffu, largest, step));
                lowest = fminf(lowest, __shfl_xor_sync(0xffffffffu, lowest, step));
            }
            const ScoreBound bound = groups.bound_of(wanted_, wanted_ / 16, lowest, largest);
            const float limit = bound.reached < wanted_ ? kLowestScore : bound.score;
            rows_[half] = ListedRow{largest, largest == largest ? limit : largest, limit, 0, 0.f};
        }
    }

    // The second walk.
    __device__ __forceinline__ void list_keys() {
        block_.template for_each_scores<Registers::kFree>([&] { make_room(); },
                                                          [&](Scores &scores, int tile, int) {
                                                              hide_unseen(scores, tile);
                                                              append(scores, tile);
                                                              if (over_all_) add_weights(scores);
                                                          });
    }

    // Which of the listed keys are kept.
    __device__ __forceinline__ void choose() {
#pragma unroll 1
        for (int half = 0; half < 2; ++half) {
            const ListedRow row = of_half(half);
            WarpLists::Scores scores;
            lists_.read(half, row.count, scores);
            const KeptRange kept = lists_.choose(half, row, scores);
            kept_[0] = half == 0 ? kept : kept_[0];
            kept_[1] = kept;
        }
    }

    // The results by gathering.
    __device__ __forceinline__ void gather() const {
        KeptKey *kept = block_.kept_keys() + Block::warp_row() / 16 * kQuads * kMostKept;
        const int width = p_.shape.value_width;
        const T *values = p_.v + static_cast<int64_t>(block_.pair) * p_.shape.keys * width;
        T *out = p_.out + block_.first_row() * width;
#pragma unroll 1
        for (int half = 0; half < 2; ++half) {
            int count;
            const float factor = keep_weights(half, kept, &count);
            __syncwarp();
#pragma unroll 1
            for (int quad = 0; quad < kQuads; ++quad) {
                const int row = Block::warp_row() + half * 8 + quad;
                const int count_of_row = __shfl_sync(0xffffffffu, count, quad * 4);
                const float factor_of_row = __shfl_sync(0xffffffffu, factor, quad * 4);
                if (block_.first + row < block_.total)
                    gather_values<T, Config::kWidth / 8>(values, width, kept + quad * kMostKept, count_of_row,
                                                         factor_of_row, out + static_cast<int64_t>(row) * width);
            }
            __syncwarp();
        }
    }

    // The results by a third walk, with tiles of keys in the first place and of values in the second.
    __device__ __forceinline__ void multiply() const {
        float shift[2], sum[2] = {0.f, 0.f};
#pragma unroll
        for (int half = 0; half < 2; ++half)
            shift[half] = weight_shift<Variant>(rows_[half].largest, block_.state[0][half]);
        typename Config::Output out = {};
        block_.for_each_key_and_value(
            p_,
            [&](Scores &scores, int tile) {
                block_.scores(scores, 0);
                weigh(scores, tile, shift, sum);
            },
            [&](const Scores &weights, uint32_t values) { multiply_values<T, Config>(out, weights, values); });
        write(out, sum);
    }

  private:
    // The half is known at run time only: registers have no addresses.
    __device__ __forceinline__ ListedRow of_half(int half) const { return half == 0 ? rows_[0] : rows_[1]; }

    // Hidden keys have -INFINITY whatever the variant.
    __device__ __forceinline__ void hide_unseen(Scores &scores, int tile) const {
        if (!block_.cuts(tile)) return;
        if (block_.has_grid()) {
            const uint32_t hidden[1] = {hidden_by_grid(tile)};
            return overwrite<Config>(scores, hidden, -INFINITY);
        }
#pragma unroll
        for (int n = 0; n < kTiles; ++n)
#pragma unroll
            for (int e = 0; e < 4; ++e) {
                const int key = Block::key_at(tile, n, e);
                const KeyRange &range = block_.seen[0][e / 2];
                if (key < range.low || key >= range.high) scores[0][n].x[e] = -INFINITY;
            }
    }

    // Bit n * 4 + e of the keys that a row does not see; in a loop, since the test of one is long.
    __device__ __forceinline__ uint32_t hidden_by_grid(int tile) const {
        uint32_t hidden = 0;
#pragma unroll 1
        for (int n = 0; n < kTiles; ++n)
#pragma unroll
            for (int e = 0; e < 4; ++e)
                if (!block_.sees(0, e / 2, Block::key_at(tile, n, e))) hidden |= 1u << (n * 4 + e);
        return hidden;
    }

    static __device__ __forceinline__ void raise(float (&peaks)[kTiles][4], const Scores &scores) {
#pragma unroll
        for (int n = 0; n < kTiles; ++n)
#pragma unroll
            for (int e = 0; e < 4; ++e) peaks[n][e] = max_or_nan(peaks[n][e], scores[0][n].x[e]);
    }

    __device__ __forceinline__ void append(const Scores &scores, int tile) {
        float2 *from[2], *to[2];
#pragma unroll
        for (int half = 0; half < 2; ++half)
            from[half] = to[half] = reinterpret_cast<float2 *>(lists_.own(half, rows_[half].count));
#pragma unroll
        for (int n = 0; n < kTiles; ++n)
#pragma unroll
            for (int e = 0; e < 4; ++e)
                append_from<32>(rows_[e / 2].limit, scores[0][n].x[e], Block::key_at(tile, n, e), to[e / 2]);
#pragma unroll
        for (int half = 0; half < 2; ++half) rows_[half].count += static_cast<int>(to[half] - from[half]) / 32;
    }

    __device__ __forceinline__ void add_weights(const Scores &scores) {
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const float shift = weight_shift<Variant>(rows_[half].largest, block_.state[0][half]);
#pragma unroll
            for (int n = 0; n < kTiles; ++n)
#pragma unroll
                for (int e = half * 2; e < half * 2 + 2; ++e)
                    rows_[half].sum += weight_of<Variant>(scores[0][n].x[e], shift, block_.state[0][half]);
        }
    }

    // Cuts the lists of a half where one has no room for the next tiles.
    __device__ __forceinline__ void make_room() {
#pragma unroll 1
        for (int half = 0; half < 2; ++half) {
            ListedRow row = of_half(half);
            if (!__any_sync(0xffffffffu, lists_.crowds(row.count, Block::kTilesAtOnce))) continue;
            WarpLists::Scores scores;
            lists_.read(half, row.count, scores);
            lists_.cut(half, lists_.choose(half, row, scores), scores.used, row);
            rows_[0] = half == 0 ? row : rows_[0];
            rows_[1] = half == 1 ? row : rows_[1];
        }
    }

    // Writes the kept keys of the eight rows of a half and their weights; returns the factor of this lane's row, and
    // how many it keeps.
    __device__ __forceinline__ float keep_weights(int half, KeptKey *to, int *kept) const {
        const ListedRow listed = of_half(half);
        const typename Variant::Row row = half == 0 ? block_.state[0][0] : block_.state[0][1];
        const KeptRange range = half == 0 ? kept_[0] : kept_[1];
        const float shift = weight_shift<Variant>(listed.largest, row);
        const int before = sum_of_lanes_before(range.own);
        KeptKey *place = to + threadIdx.x % 32 / 4 * kMostKept + before;
        float sum = 0.f;
        lists_.for_each(half, listed.count, [&](const Candidate &candidate) {
            if (!range.keeps(candidate.score, candidate.key)) return;
            const float weight = weight_of<Variant>(candidate.score, shift, row);
            *place++ = KeptKey{weight, candidate.key};
            sum += weight;
        });
        *kept = quad_sum_of(range.own);
        return factor_of(listed, row, sum);
    }

    static __device__ __forceinline__ int sum_of_lanes_before(int x) {
        const int lane = threadIdx.x % 4;
        const int one = __shfl_up_sync(0xffffffffu, x, 1, 4), two = __shfl_up_sync(0xffffffffu, x, 2, 4),
                  three = __shfl_up_sync(0xffffffffu, x, 3, 4);
        return (lane > 0 ? one : 0) + (lane > 1 ? two : 0) + (lane > 2 ? three : 0);
    }

    // Of a row's weighted sum of values, from each lane's share of its weights.
    __device__ __forceinline__ float factor_of(const ListedRow &listed, const typename Variant::Row &row,
                                               float sum) const {
        const float factor = Variant::normalise(quad_sum(over_all_ ? listed.sum : sum), row);
        return listed.largest == listed.largest ? factor : listed.largest;
    }

    __device__ __forceinline__ void weigh(Scores &scores, int tile, const float (&shift)[2], float (&sum)[2]) const {
        hide_unseen(scores, tile);
        const bool ties = __any_sync(0xffffffffu, kept_[0].last != INT_MAX || kept_[1].last != INT_MAX);
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const float bound = kept_[half].bound;
#pragma unroll
            for (int n = 0; n < kTiles; ++n)
#pragma unroll
                for (int e = half * 2; e < half * 2 + 2; ++e) {
                    float &score = scores[0][n].x[e];
                    bool keeps = score >= bound;
                    if (ties && score == bound) keeps = Block::key_at(tile, n, e) <= kept_[half].last;
                    const float weight = weight_of<Variant>(score, shift[half], block_.state[0][half]);
                    score = keeps ? weight : 0.f;
                    sum[half] += score;
                }
        }
    }

    __device__ __forceinline__ void write(const typename Config::Output &out, const float (&sum)[2]) const {
        const int width = p_.shape.value_width;
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const float factor = factor_of(rows_[half], block_.state[0][half], sum[half]);
            if (!block_.exists(0, half)) continue;
            T *row = p_.out + (block_.first_row() + Block::local_row(0, half)) * width;
#pragma unroll
            for (int n = 0; n < Config::kWidth / 8; ++n) {
                const int column = n * 8 + threadIdx.x % 4 * 2;
                if (column < width)
                    *reinterpret_cast<uint32_t *>(row + column) =
                        Mma<T>::pack(out[0][n].x[half * 2] * factor, out[0][n].x[half * 2 + 1] * factor);
            }
        }
    }

    const ParamsOf<Variant, T> &p_;
    const int wanted_;
    const Block &block_;
    const WarpLists &lists_;
    const bool over_all_;
    ListedRow rows_[2];
    KeptRange kept_[2] = {};
};

template <class Variant, class T, class Config>
constexpr size_t list_shared_bytes =
    std::max(SelectBlock<Variant, T, Config>::shared_bytes, RowsByLists<Variant, T, Config>::kKeptBytes);

// Blocks that share a multiprocessor of this compute capability, as 9, where shared memory allows it: as many as have
// the registers they need, which before SM 90 are more.
template <class Variant, class Config, ResultOf kResult>
constexpr int list_blocks(int major) {
    const bool of_all = kResult == ResultOf::kAllValues;
    return sizeof(typename Variant::Row) > 8 || (of_all && (Config::kWidth > 64 || major < 9)) ? 2 : 3;
}

#ifdef __CUDA_ARCH__
constexpr int kCompiledMajor = __CUDA_ARCH__ / 100;
#else
constexpr int kCompiledMajor = 9;
#endif

// Blocks take blocks of rows until none is left, so that there are no more lists than blocks run at a time.
template <class Variant, class T, class Config, ResultOf kResult>
__global__ void __launch_bounds__(Config::kThreads, (list_blocks<Variant, Config, kResult>(kCompiledMajor)))
    list_rows(const ParamsOf<Variant, T> p, const ListParams params) {
    static_assert(!Variant::kAdds, "the result is a weighted sum of the kept values");
    const int blocks = (p.shape.group_rows() + Config::kRows - 1) / Config::kRows;
    const int64_t all_blocks = static_cast<int64_t>(p.shape.pairs()) * blocks;
    const WarpLists lists(params, blockIdx.x * Config::kWarps + threadIdx.x / 32);
    for (int64_t at = blockIdx.x; at < all_blocks; at += gridDim.x) {
        const int first = (blocks - 1 - static_cast<int>(at % blocks)) * Config::kRows;
        const SelectBlock<Variant, T, Config> block(
            p, BlockRows<Variant, T, Config>(p, first, static_cast<int>(at / blocks)));
        RowsByLists<Variant, T, Config> rows(p, params, block, lists);
        rows.find_bounds();
        rows.list_keys();
        rows.choose();
        if (kResult == ResultOf::kAllValues)
            rows.multiply();
        else
            rows.gather();
        __syncthreads();
    }
}

}  // namespace attnexport
