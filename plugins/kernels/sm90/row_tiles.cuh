// The tiles of rows that a block takes one after the other, and the tiles of keys that each of them sees.
#pragma once

#include <sm90/layout.cuh>

namespace attnexport::sm90 {

// A tile of rows of one query head. Its keys are walked in steps of kCols, from the last to the first.
struct RowTile {
    int pair, kv_pair, batch, head;  // pair: of a sample and a query head
    int first;                       // row
    int begin, end;                  // steps, at least one
    int counted, seen;               // the first row sees all keys before the one, the last none from the other on

    template <class C>
    static __device__ __forceinline__ RowTile of(const Shape &s, const Neighbourhood &near, const Tiles &tiles,
                                                 int index) {
        RowTile tile;
        tile.pair = tiles.longest_first ? index % tiles.pairs : index / tiles.of_pair;
        tile.batch = tile.pair / s.heads;
        tile.head = tile.pair % s.heads;
        tile.kv_pair = tile.batch * s.kv_heads + tile.head / (s.heads / s.kv_heads);
        const int place = tiles.longest_first ? index / tiles.pairs : index % tiles.of_pair;
        tile.first = (tiles.of_pair - 1 - place) * C::kRows;
        // Later rows see later keys.
        const int last = min(tile.first + C::kRows, s.rows) - 1;
        const int low = visible_keys(s, near, tile.batch, tile.first).low;
        tile.seen = visible_keys(s, near, tile.batch, last).high;
        tile.counted = visible_count(s, tile.batch, tile.first) / kSumChunk * kSumChunk;
        tile.begin = min(low, s.keys - 1) / C::kCols;
        tile.end = max(tile.begin + 1, (tile.seen + C::kCols - 1) / C::kCols);
        return tile;
    }
};

// Every second round goes backwards: what was long for a block is followed by what is short.
template <class C, class F>
__device__ __forceinline__ void for_row_tiles(const Shape &s, const Neighbourhood &near, const Tiles &tiles, F f) {
    const int blocks = static_cast<int>(gridDim.x), block = static_cast<int>(blockIdx.x);
    bool backwards = false;
    for (int start = 0; start < tiles.count(); start += blocks, backwards = !backwards) {
        const int index = start + (backwards ? blocks - 1 - block : block);
        if (index < tiles.count()) f(RowTile::of<C>(s, near, tiles, index));
    }
}

}  // namespace attnexport::sm90
