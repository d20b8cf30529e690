// The scores of few rows and all their keys, written to memory.
#pragma once

#include <selection/select_block.cuh>

namespace attnexport {

struct ScoreParams {
    int wanted;
    int stride;     // keys, rounded up to whole tiles
    float *scores;  // (batch, kv_heads, group rows, stride)
};

constexpr int kScoreTile = 64;

// A row's scores of the tiles that it sees; -INFINITY where it does not see a key of them.
template <class Variant, class T, class Config>
__global__ void __launch_bounds__(Config::kThreads) write_scores(const ParamsOf<Variant, T> p, const ScoreParams to) {
    using Block = SelectBlock<Variant, T, Config>;
    static_assert(kScoreTile % Config::kCols == 0);
    const Block block(p);
    block.for_each_tile([&](int tile, int stage) {
        block.compute_norms(stage);
        typename Config::Scores scores;
        block.scores(scores, stage);
        const bool cuts = block.cuts(tile);
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            if (!block.exists(0, half)) continue;
            float *row = to.scores + (block.first_row() + Block::local_row(0, half)) * to.stride;
#pragma unroll
            for (int n = 0; n < Config::kCols / 8; ++n) {
                const int key = Block::key_at(tile, n, 0);
                float2 pair = make_float2(scores[0][n].x[half * 2], scores[0][n].x[half * 2 + 1]);
                if (cuts && !block.sees(0, half, key)) pair.x = -INFINITY;
                if (cuts && !block.sees(0, half, key + 1)) pair.y = -INFINITY;
                *reinterpret_cast<float2 *>(row + key) = pair;
            }
        }
    });
}

}  // namespace attnexport
