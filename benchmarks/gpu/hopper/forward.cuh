// Attention over all keys on Hopper: a producer warp that copies tiles, and warpgroups of 64 query rows that multiply
// and weigh them. Affine-scaled attention, and Krause attention, whose keys have a bias.
//
// Keys are walked from the last tile to the first, so that only the first step needs a mask. While a warpgroup weighs
// the scores of a tile, the tensor cores multiply the weights of the tile before with its values.
#pragma once

#include "tiles.cuh"

namespace attnexport::hopper {

template <class C>
__device__ __forceinline__ void produce(const Params &p, const CUtensorMap &q, const CUtensorMap &k,
                                        const CUtensorMap &v, uint32_t shared, const Barriers<C> &barriers) {
    const int steps = (p.keys + C::kCols - 1) / C::kCols;
    Ring<C::kStages> ring;
    int query_parity = 1;
    if (C::kBias != Bias::kNone) wait_for_previous();
    auto load = [&](const CUtensorMap &map, uint32_t to, uint32_t box_bytes, uint32_t barrier, int row, int pair,
                    int more = 0) {
        arrive_expecting(barrier, C::kHalves * box_bytes + more);
#pragma unroll
        for (int half = 0; half < C::kHalves; ++half)
            copy_box(to + half * box_bytes, map, barrier, half * 64, row, pair);
    };
    for (int tile = blockIdx.x; tile < p.tiles * p.pairs; tile += gridDim.x) {
        const int pair = tile / p.tiles, first = tile % p.tiles * C::kRows;
        for (int consumer = 0; consumer < C::kConsumers; ++consumer) {
            wait(barriers.queries_empty(consumer), query_parity);
            load(q, shared + C::kQueries + consumer * C::kRowsBytes, 64 * 128, barriers.queries_full(consumer),
                 first + consumer * 64, pair);
        }
        query_parity ^= 1;
        for (int step = steps - 1; step >= 0; --step, ring.advance()) {
            const uint32_t place = ring.stage * C::kTileBytes;
            wait(barriers.keys_empty(ring.stage), ring.parity ^ 1);
            load(k, shared + C::kKeys + place, C::kCols * 128, barriers.keys_full(ring.stage), step * C::kCols,
                 pair / p.group, C::kBiasBytes);
            if (C::kBias != Bias::kNone)
                copy_bytes(shared + C::kBiases + ring.stage * C::kBiasBytes,
                           static_cast<const char *>(p.biases) +
                               (static_cast<int64_t>(pair / p.group) * steps + step) * C::kBiasBytes,
                           C::kBiasBytes, barriers.keys_full(ring.stage));
            wait(barriers.values_empty(ring.stage), ring.parity ^ 1);
            load(v, shared + C::kValues + place, C::kCols * 128, barriers.values_full(ring.stage), step * C::kCols,
                 pair / p.group);
        }
    }
}

template <class T, class C>
__device__ __forceinline__ void consume(const Params &p, const CUtensorMap &o, uint32_t shared,
                                        const Barriers<C> &barriers) {
    const int consumer = threadIdx.x / 128 - 1, thread = threadIdx.x % 128, warp = thread / 32, lane = thread % 32;
    const int steps = (p.keys + C::kCols - 1) / C::kCols;
    const uint32_t queries = shared + C::kQueries + consumer * C::kRowsBytes;
    const uint32_t outputs = shared + C::kOutputs + consumer * C::kRowsBytes;
    constexpr int kTurn = 1, kOwn = 1 + C::kConsumers;  // barriers of some threads
    auto take_turn = [&] {
        if (C::kInTurn) sync_some(kTurn + consumer, 256);
    };
    auto pass_turn = [&] {
        if (C::kInTurn) arrive_some(kTurn + (consumer + 1) % C::kConsumers, 256);
    };
    auto keys_of = [&](const Ring<C::kStages> &at) { return shared + C::kKeys + at.stage * C::kTileBytes; };
    auto values_of = [&](const Ring<C::kStages> &at) { return shared + C::kValues + at.stage * C::kTileBytes; };
    auto biases_of = [&](const Ring<C::kStages> &at) { return shared + C::kBiases + at.stage * C::kBiasBytes; };
    auto release = [&](uint32_t barrier) {
        if (lane == 0) arrive(barrier);
    };
    if (consumer == C::kConsumers - 1) pass_turn();

    Ring<C::kStages> ring;
    int query_parity = 0;
    bool waited = false;
    for (int tile = blockIdx.x; tile < p.tiles * p.pairs; tile += gridDim.x, query_parity ^= 1) {
        const int pair = tile / p.tiles, first = tile % p.tiles * C::kRows + consumer * 64;
        float out[C::kWidth / 2] = {}, scores[C::kCols / 2], rescale[2];
        uint32_t weights[C::kCols / 16][4];
        RowState state;

        wait(barriers.queries_full(consumer), query_parity);
        wait(barriers.keys_full(ring.stage), ring.parity);
        take_turn();
        pin(scores);
        begin_products();
        multiply_keys<T, C>(scores, queries, keys_of(ring), biases_of(ring), shared + C::kOnes);
        commit_products();
        pass_turn();
        wait_for_products<0>();
        pin(scores);
        add_biases<C>(scores, biases_of(ring));
        release(barriers.keys_empty(ring.stage));
        const int last = (steps - 1) * C::kCols;
        if (last + C::kCols > p.keys) {
#pragma unroll
            for (int i = 0; i < C::kCols / 2; ++i)
                if (last + i / 4 * 8 + lane % 4 * 2 + i % 2 >= p.keys) scores[i] = -INFINITY;
        }
        state.template weigh<C::kPolynomials>(scores, p.scale, true, rescale);
        pack_weights<T, C::kCols>(weights, scores);

        for (int step = 1; step < steps; ++step) {
            const Ring<C::kStages> before = ring;
            ring.advance();
            wait(barriers.keys_full(ring.stage), ring.parity);
            take_turn();
            pin(scores);
            pin(out);
            pin(weights);
            begin_products();
            multiply_keys<T, C>(scores, queries, keys_of(ring), biases_of(ring), shared + C::kOnes);
            commit_products();
            wait(barriers.values_full(before.stage), before.parity);
            multiply_values<T, C>(out, weights, values_of(before));
            commit_products();
            pass_turn();
            wait_for_products<1>();
            pin(scores);
            add_biases<C>(scores, biases_of(ring));
            release(barriers.keys_empty(ring.stage));
            const bool grown = state.template weigh<C::kPolynomials>(scores, p.scale, false, rescale);
            wait_for_products<0>();
            pin(out);
            release(barriers.values_empty(before.stage));
            if (grown) {
#pragma unroll
                for (int i = 0; i < C::kWidth / 2; ++i) out[i] *= rescale[i / 2 % 2];
            }
            pack_weights<T, C::kCols>(weights, scores);
        }
        release(barriers.queries_empty(consumer));
        wait(barriers.values_full(ring.stage), ring.parity);
        pin(out);
        pin(weights);
        begin_products();
        multiply_values<T, C>(out, weights, values_of(ring));
        commit_products();

        // What the rows' ends need, while the last product runs.
        constexpr bool kAdds = C::kBias == Bias::kNone;
        if (kAdds && !waited) wait_for_previous();
        waited = true;
        float factor[2], beta[2];
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            float &sum = state.sum[half];
            sum += __shfl_xor_sync(0xffffffffu, sum, 1);
            sum += __shfl_xor_sync(0xffffffffu, sum, 2);
            const int64_t row =
                static_cast<int64_t>(pair) * p.rows + min(first + warp * 16 + half * 8 + lane / 4, p.rows - 1);
            factor[half] = (kAdds ? static_cast<float>(static_cast<const T *>(p.alpha)[row]) : 1.f) / sum;
            beta[half] = kAdds ? static_cast<float>(static_cast<const T *>(p.beta)[row]) : 0.f;
        }
        const float2 *sums =
            reinterpret_cast<const float2 *>(p.value_sums + static_cast<int64_t>(pair / p.group) * C::kWidth);
        if (thread == 0) wait_for_store_reads();
        sync_some(kOwn + consumer, 128);
        wait_for_products<0>();
        pin(out);
        release(barriers.values_empty(ring.stage));
        ring.advance();
#pragma unroll
        for (int n = 0; n < C::kWidth / 8; n += 2) {
            uint32_t packed[4];
#pragma unroll
            for (int e = 0; e < 4; ++e) {
                const int at = (n + e / 2) * 4 + e % 2 * 2;
                const float2 sum = kAdds ? sums[(n + e / 2) * 4 + lane % 4] : make_float2(0.f, 0.f);
                packed[e] = Wgmma<T>::pack(fmaf(out[at], factor[e % 2], beta[e % 2] * sum.x),
                                           fmaf(out[at + 1], factor[e % 2], beta[e % 2] * sum.y));
            }
            const int row = warp * 16 + lane % 16, piece = n + lane / 16;
            store_matrix_x4(outputs + piece / 8 * 64 * 128 + row * 128 + (piece % 8 ^ row % 8) * 16, packed);
        }
        fence_async();
        sync_some(kOwn + consumer, 128);
        if (thread == 0) {
#pragma unroll
            for (int half = 0; half < C::kHalves; ++half)
                store_box(o, outputs + half * 64 * 128, half * 64, first, pair);
            commit_stores();
        }
    }
    if (thread == 0) wait_for_store_reads();
}

template <class T, class C>
__global__ void __launch_bounds__(C::kThreads, 1)
    attention_forward(const __grid_constant__ CUtensorMap q, const __grid_constant__ CUtensorMap k,
                      const __grid_constant__ CUtensorMap v, const __grid_constant__ CUtensorMap o, const Params p) {
    extern __shared__ unsigned char memory[];
    const uint32_t shared = (shared_address(memory) + 1023) & ~1023u;
    const Barriers<C> barriers{shared + C::kBarriers};
    if (threadIdx.x == 0) barriers.init();
    if (C::kBias == Bias::kMultiplied) write_ones<T>(memory + (shared - shared_address(memory)) + C::kOnes);
    __syncthreads();
    if (threadIdx.x < 128) {
        give_registers<C::kProducerRegisters>();
        if (threadIdx.x == 0) produce<C>(p, q, k, v, shared, barriers);
    } else {
        take_registers<C::kConsumerRegisters>();
        consume<T, C>(p, o, shared, barriers);
    }
}

}  // namespace attnexport::hopper
