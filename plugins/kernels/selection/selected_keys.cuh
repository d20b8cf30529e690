// Which keys of a tile the rows of a warp selected, in the forward kernel behind a selection.
#pragma once

#include <forward/mask.cuh>
#include <selection/selection.cuh>

namespace attnexport {

template <class Variant, class T, class Config>
class SelectedKeys {
    static constexpr int kRowTiles = Config::kRowTiles, kCols = Config::kCols;

  public:
    __device__ __forceinline__ SelectedKeys(const ParamsOf<Variant, T> &p, const BlockRows<Variant, T, Config> &rows)
        : selects_(Variant::kGeneral && p.thresholds != nullptr), weighs_all_(p.normalise_over_all) {
        if (!selects_) return;
        const Threshold *thresholds = p.thresholds + static_cast<int64_t>(blockIdx.y) * rows.total;
#pragma unroll
        for (int m = 0; m < kRowTiles; ++m)
#pragma unroll
            for (int half = 0; half < 2; ++half)
                threshold_[m][half] =
                    rows.exists(m, half) ? thresholds[rows.row(m, half)] : Threshold{-INFINITY, INT_MAX, INT_MAX};
    }

    // Finds the keys of a tile that were not selected and hides them, unless the sum of weights counts them, too.
    __device__ __forceinline__ void hide_unselected(typename Config::Scores &scores, int tile) {
        if (!selects_) return;
        find_unselected(scores, tile);
        if (!weighs_all_) overwrite<Config>(scores, dropped_, Variant::kHidden);
    }

    // Takes the weights of those that were counted.
    __device__ __forceinline__ void drop_unselected(typename Config::Scores &weights) const {
        if (selects_ && weighs_all_) overwrite<Config>(weights, dropped_, 0.f);
    }

  private:
    // Sets bit n * 4 + e of dropped_[m] for every score that the row's threshold leaves out.
    __device__ __forceinline__ void find_unselected(const typename Config::Scores &scores, int tile) {
        uint32_t ties[kRowTiles] = {};
        bool any = false;
#pragma unroll
        for (int m = 0; m < kRowTiles; ++m) dropped_[m] = 0;
#pragma unroll
        for (int n = 0; n < kCols / 8; ++n)
#pragma unroll
            for (int m = 0; m < kRowTiles; ++m)
#pragma unroll
                for (int e = 0; e < 4; ++e) {
                    const int key = BlockRows<Variant, T, Config>::key_at(tile, n, e);
                    const float score = scores[m][n].x[e];
                    const Threshold &row = threshold_[m][e / 2];
                    if (!is_selected(score, key, row))
                        dropped_[m] |= 1u << (n * 4 + e);
                    else if (score == row.score)
                        ties[m] |= 1u << (n * 4 + e);
                }
#pragma unroll
        for (int m = 0; m < kRowTiles; ++m) any |= ties[m] != 0;
        if (!__any_sync(0xffffffffu, any)) return;
#pragma unroll
        for (int m = 0; m < kRowTiles; ++m)
#pragma unroll
            for (int half = 0; half < 2; ++half) rank_ties(m, half, ties[m] & (half ? 0xccccccccu : 0x33333333u));
    }

    // Of a row's ties, `mine` the lane's, the first threshold.room are selected: `taken_` counts those of the tiles
    // before.
    __device__ __forceinline__ void rank_ties(int m, int half, uint32_t mine) {
        uint32_t others[4];
        int found = 0;
#pragma unroll
        for (int other = 0; other < 4; ++other) {
            others[other] = __shfl_sync(0xffffffffu, mine, other, 4);
            found += __popc(others[other]);
        }
        const int room = threshold_[m][half].room;
        if (mine != 0 && found > room - taken_[m][half]) {
            for (uint32_t left = mine; left != 0; left &= left - 1) {
                // Keys come before this one in groups of eight, then by lane, then by place in the lane.
                const int lane = threadIdx.x % 4, bit = __ffs(left) - 1, group = bit & ~3;
                const uint32_t before = (1u << group) - 1;
                int rank = taken_[m][half] + __popc(mine & ((1u << bit) - 1) & ~before);
#pragma unroll
                for (int other = 0; other < 4; ++other) {
                    rank += __popc(others[other] & before);
                    if (other < lane) rank += __popc(others[other] & (0xfu << group));
                }
                if (rank >= room) dropped_[m] |= 1u << bit;
            }
        }
        taken_[m][half] = min(taken_[m][half] + found, INT_MAX / 2);
    }

    const bool selects_, weighs_all_;
    Threshold threshold_[kRowTiles][2];
    int taken_[kRowTiles][2] = {};
    uint32_t dropped_[kRowTiles] = {};
};

}  // namespace attnexport
