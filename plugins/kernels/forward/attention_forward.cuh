// The fused forward kernel of all variants whose weights are a function of q.k, a number per key and numbers per row.
//
// A block holds kRows query rows of one key head (the rows of its whole group of query heads, so that decoding fills
// a tile) and walks over the tiles of keys that these rows see. Scores, weights and sums stay in registers.
#pragma once

#include <forward/epilogue.cuh>
#include <forward/forward_tiles.cuh>
#include <forward/mask.cuh>
#include <selection/selected_keys.cuh>

namespace attnexport {

template <class Variant, class T, class Config>
__global__ void __launch_bounds__(Config::kThreads) attention_forward(const ParamsOf<Variant, T> p) {
    constexpr int kStages = Config::kStages;
    let_next_begin();
    const ForwardTiles<Variant, T, Config> tiles(p);
    BlockRows<Variant, T, Config> rows(p);
    tiles.load_queries(p, rows.first, rows.total);
    const BlockBounds bounds =
        block_bounds<Config::kRows, Config::kThreads>(p.shape, rows.near, rows.batch, rows.first, tiles.scratch());
    rows.read(p);
    const TileWalk<Variant::kNear> walk(p.shape, rows.near, bounds, rows.first, Config::kRows, Config::kCols, p.splits);
    SelectedKeys<Variant, T, Config> selected(p, rows);
    RunningSums<Variant, Config> sums;
    typename Config::Output out = {};
    if (Variant::negates_queries(p.row_params)) tiles.negate_queries();

    int tile = walk.first();
    if (tile < walk.end()) {
        tiles.load_keys(tile, 0);
        if (kStages == 2) tiles.load_values(tile, 0);
    }
    commit_copies();
    for (int stage = 0, next; tile < walk.end(); tile = next, stage ^= kStages - 1) {
        // The barrier publishes what was loaded and frees what the next copies fill.
        wait_for_copies<0>();
        __syncthreads();
        next = walk.after(tile);
        if (kStages == 1) {
            tiles.load_values(tile, 0);
        } else if (next < walk.end()) {
            tiles.load_keys(next, stage ^ 1);
            tiles.load_values(next, stage ^ 1);
        }
        commit_copies();
        tiles.compute_norms(stage);

        const bool excluded = rows.excludes(tile);
        typename Config::Scores scores;
        if (!excluded)
            tile_scores<Variant, T, Config>(scores, rows.state, tiles.norms(stage), tiles.queries(), tiles.keys(stage),
                                            rows.warp_row());
        if (kStages == 1) {
            // Publishes the values and frees the keys.
            wait_for_copies<0>();
            __syncthreads();
            if (next < walk.end()) tiles.load_keys(next, 0);
            commit_copies();
        }
        if (excluded) continue;
        hide_unseen(scores, rows, tile);
        selected.hide_unselected(scores, tile);
        const bool any_weight = sums.weigh(scores, out, rows.state);
        selected.drop_unselected(scores);
        if (gathers_values<Variant, T, Config>(p)) weigh_values<Config>(scores, bounds.all, tile);
        if (any_weight) multiply_values<T, Config>(out, scores, tiles.values(stage));
    }
    wait_for_copies<0>();
    __syncthreads();
    finish_rows(p, rows, bounds, sums, out, tiles);
}

}  // namespace attnexport
