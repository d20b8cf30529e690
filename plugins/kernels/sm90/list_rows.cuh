// Selections by lists of candidates on Hopper: the walks and choices of selection/list_rows.cuh, with tiles that a warp
// copies by the tensor memory unit and products of warpgroups.
#pragma once

#include <selection/list_rows.cuh>
#include <sm90/list_block.cuh>
#include <sm90/producer.cuh>

namespace attnexport::sm90 {

constexpr int kWalks = 2;  // over the keys of every tile of rows

// Queries, and the keys of both walks; by one warp.
template <class Variant, class T, class C>
__device__ __forceinline__ void produce_keys(const ListCall<Variant, T> &call, const CUtensorMap &q,
                                             const CUtensorMap &k, uint32_t shared, const ListBarriers<C> &barriers) {
    const bool leads = threadIdx.x % 32 == 0;
    Ring<C::kStages> ring;
    int query_parity = 1;
    for_row_tiles<C>(call.forward.shape, neighbourhood_of<Variant>(call.forward), call.tiles, [&](const RowTile &tile) {
#pragma unroll 1
        for (int consumer = 0; consumer < C::kConsumers; ++consumer) {
            wait(barriers.queries_empty(consumer), query_parity);
            if (leads)
                copy_tile<C>(q, shared + C::kQueries + consumer * C::kRowsBytes, 64, barriers.queries_full(consumer),
                             tile.first + consumer * 64, tile.pair);
        }
        query_parity ^= 1;
#pragma unroll 1
        for (int walk = 0; walk < kWalks; ++walk)
#pragma unroll 1
            for (int step = tile.begin; step < tile.end; ++step, ring.advance()) {
                wait(barriers.keys_empty(ring.stage), ring.parity ^ 1);
                if (leads)
                    copy_tile<C>(k, shared + C::kKeys + ring.stage * C::kTileBytes, C::kCols,
                                 barriers.keys_full(ring.stage), step * C::kCols, tile.kv_pair);
                __syncwarp();
            }
    });
}

template <class Variant, class T, class C>
__global__ void __launch_bounds__(C::kThreads, 1)
    list_rows(const __grid_constant__ CUtensorMap q, const __grid_constant__ CUtensorMap k,
              const __grid_constant__ ListCall<Variant, T> call) {
    using Block = ListBlock<Variant, T, C>;
    unsigned char *memory = dynamic_shared();
    memory += -shared_address(memory) & 1023;
    const ListBarriers<C> barriers{shared_address(memory) + C::kBarriers};
    if (threadIdx.x == 0) barriers.init();
    __syncthreads();
    if (threadIdx.x < 128) {
        give_registers<C::kProducerRegisters>();
        if (threadIdx.x < 32) produce_keys<Variant, T, C>(call, q, k, shared_address(memory), barriers);
    } else {
        take_registers<C::kConsumerRegisters>();
        const int consumer = threadIdx.x / 128 - 1;
        const WarpLists lists(call.lists, blockIdx.x * C::kWarps + threadIdx.x / 32 - 4);
        Ring<C::kStages> ring;
        int query_parity = 0;
        for_row_tiles<C>(call.forward.shape, neighbourhood_of<Variant>(call.forward), call.tiles,
                         [&](const RowTile &tile) {
                             const Block block(call.forward, tile, shared_address(memory), ring);
                             RowsByLists<Variant, T, ListedRows<C::kWidth, C::kWarps>, Block> rows(
                                 call.forward, call.lists, block, lists);
                             wait(barriers.queries_full(consumer), query_parity);
                             query_parity ^= 1;
                             rows.find_bounds();
                             rows.list_keys();
                             if (threadIdx.x % 32 == 0) arrive(barriers.queries_empty(consumer));
                             rows.choose();
                             rows.gather();
                         });
    }
}

}  // namespace attnexport::sm90
