// A warpgroup of 64 query rows: multiplies them with tiles of keys, weighs their scores and sums values.
//
// While the scores of a tile are weighed, the tensor cores multiply the weights of the tile before with its values. The
// warpgroups of a block issue their products in turn, so that one weighs while another multiplies.
#pragma once

#include <forward/value_sums.cuh>
#include <sm90/tiles.cuh>

namespace attnexport::sm90 {

template <class Variant, class T, class C>
class Consumer {
    using Place = Ring<C::kStages>;

  public:
    __device__ __forceinline__ Consumer(const ParamsOf<Variant, T> &p, const CUtensorMap &o, uint32_t shared,
                                        const Barriers<C> &barriers)
        : p_(p), o_(o), shared_(shared), barriers_(barriers), consumer_(threadIdx.x / 128 - 1) {
        if (consumer_ == C::kConsumers - 1) pass_turn();
    }

    __device__ __forceinline__ void take(const RowTile &tile) {
        float out[C::kWidth / 2] = {}, scores[C::kCols / 2], rescale[2];
        uint32_t weights[C::kCols / 16][4];
        const Rows<Variant, T, C> rows(p_, tile);
        Sums<Variant> sums;

        wait(barriers_.queries_full(consumer_), query_parity_);
        query_parity_ ^= 1;
        if (Variant::negates_queries(p_.row_params)) negate_queries();
        wait(barriers_.keys_full(at_.stage), at_.parity);
        take_turn();
        pin(scores);
        begin_products();
        score(scores);
        commit_products();
        pass_turn();
        wait_for_products<0>();
        pin(scores);
        release(barriers_.keys_empty(at_.stage));
        rows.finish_scores(scores, tile.end - 1);
        sums.template weigh<true>(scores, rows, rescale);
        pack_weights<T, C>(weights, scores);

        for (int step = tile.end - 2; step >= tile.begin; --step) {
            const Place before = at_;
            at_.advance();
            wait(barriers_.keys_full(at_.stage), at_.parity);
            take_turn();
            pin(scores);
            pin(out);
            pin(weights);
            begin_products();
            score(scores);
            commit_products();
            wait(barriers_.values_full(before.stage), before.parity);
            multiply_values<T, C>(out, weights, values(before));
            commit_products();
            pass_turn();
            wait_for_products<1>();
            pin(scores);
            release(barriers_.keys_empty(at_.stage));
            rows.finish_scores(scores, step);
            const bool grown = sums.template weigh<false>(scores, rows, rescale);
            wait_for_products<0>();
            pin(out);
            release(barriers_.values_empty(before.stage));
            if (grown) {
#pragma unroll
                for (int i = 0; i < C::kWidth / 2; ++i) out[i] *= rescale[i / 2 % 2];
            }
            pack_weights<T, C>(weights, scores);
        }
        release(barriers_.queries_empty(consumer_));
        wait(barriers_.values_full(at_.stage), at_.parity);
        pin(out);
        pin(weights);
        begin_products();
        multiply_values<T, C>(out, weights, values(at_));
        commit_products();
        finish(tile, rows, sums, out);
    }

    // Before the block ends: the copy unit still reads its shared memory.
    __device__ __forceinline__ void end() const {
        if (leads()) wait_for_store_reads();
    }

  private:
    static constexpr int kTurns = 1,
                         kOwn = kTurns + C::kConsumers;  // barriers of some threads

    __device__ __forceinline__ void take_turn() const { sync_some(kTurns + consumer_, 256); }
    __device__ __forceinline__ void pass_turn() const { arrive_some(kTurns + (consumer_ + 1) % C::kConsumers, 256); }
    __device__ __forceinline__ void sync_warpgroup() const { sync_some(kOwn + consumer_, 128); }
    static __device__ __forceinline__ bool leads() { return threadIdx.x % 128 == 0; }

    static __device__ __forceinline__ void release(uint32_t barrier) {
        if (threadIdx.x % 32 == 0) arrive(barrier);
    }

    __device__ __forceinline__ uint32_t queries() const { return shared_ + C::kQueries + consumer_ * C::kRowsBytes; }
    __device__ __forceinline__ uint32_t outputs() const { return shared_ + C::kOutputs + consumer_ * C::kRowsBytes; }

    __device__ __forceinline__ uint32_t values(const Place &at) const {
        return shared_ + C::kValues + at.stage * C::kTileBytes;
    }

    __device__ __forceinline__ void score(float (&scores)[C::kCols / 2]) const {
        multiply_keys<T, C>(scores, queries(), shared_ + C::kKeys + at_.stage * C::kTileBytes,
                            shared_ + C::kBias + at_.stage * C::kBiasBytes, shared_ + C::kOnes);
    }

    __device__ __forceinline__ void negate_queries() const {
#pragma unroll 1
        for (uint32_t at = threadIdx.x % 128 * 4; at < C::kRowsBytes; at += 128 * 4) flip_signs(queries() + at);
        fence_async();
        sync_warpgroup();
    }

    // What the rows' ends need is read while the last product runs.
    __device__ __forceinline__ void finish(const RowTile &tile, const Rows<Variant, T, C> &rows, Sums<Variant> &sums,
                                           float (&out)[C::kWidth / 2]) {
        float factor[2], added[C::kWidth / 2];
        if (Variant::kAdds && !waited_) wait_for_previous();
        waited_ = true;
#pragma unroll
        for (int half = 0; half < 2; ++half)
            factor[half] = Variant::normalise(quad_sum(sums.sum[half]), Rows<Variant, T, C>::state_of(p_, tile, half));
        if (leads()) wait_for_store_reads();
        sync_warpgroup();
        if (Variant::kAdds) read_values_before(tile, added);
        const Place last = at_;
        at_.advance();
        if (Variant::kAdds && p_.shape.rows_differ()) {
            add_last_values(tile, rows, added);
            release(barriers_.values_empty(at_.stage));
            release(barriers_.keys_empty(at_.stage));
            at_.advance();
        }
        wait_for_products<0>();
        pin(out);
        release(barriers_.values_empty(last.stage));
#pragma unroll
        for (int i = 0; i < C::kWidth / 2; ++i) out[i] *= factor[i / 2 % 2];
        if (Variant::kAdds) {
            const typename Variant::Row states[2] = {Rows<Variant, T, C>::state_of(p_, tile, 0),
                                                     Rows<Variant, T, C>::state_of(p_, tile, 1)};
#pragma unroll
            for (int i = 0; i < C::kWidth / 2; ++i) out[i] += Variant::added(states[i / 2 % 2]) * added[i];
        }
        stage_rows(out);
        fence_async();
        sync_warpgroup();
        if (!leads()) return;
#pragma unroll
        for (int half = 0; half < C::kHalves; ++half)
            store_box(o_, outputs() + half * 64 * 128, half * 64, tile.first + consumer_ * 64, tile.pair);
        commit_stores();
    }

    // Number of keys that the first of the warpgroup's rows sees, or the last.
    __device__ __forceinline__ int seen_by(const RowTile &tile, int row) const {
        const int own = min(tile.first + consumer_ * 64 + row, p_.shape.rows - 1);
        return visible_count(p_.shape, tile.batch, own);
    }

    // First key of the chunk in which the last key of the warpgroup's first row lies.
    __device__ __forceinline__ int counted(const RowTile &tile) const {
        return seen_by(tile, 0) / kSumChunk * kSumChunk;
    }

    // The values from there on, as far as the rows see them.
    __device__ __forceinline__ void add_last_values(const RowTile &tile, const Rows<Variant, T, C> &rows,
                                                    float (&added)[C::kWidth / 2]) {
        const int first = counted(tile), end = seen_by(tile, 63);
        wait(barriers_.values_full(at_.stage), at_.parity);
        wait(barriers_.keys_full(at_.stage), at_.parity);
        uint32_t ones[C::kCols / 16][4];
        rows.weigh_seen(ones, first);
        pin(ones);
        pin(added);
        begin_products();
#pragma unroll
        for (int chunk = 0; chunk < 2; ++chunk) {
            // A chunk that no row sees has weights of zero, and values that are sure to be there.
            const int begin = first + chunk * kSumChunk, row = begin < end ? begin - tile.counted : 0;
            const uint32_t place = row < C::kCols ? values(at_) : shared_ + C::kKeys + at_.stage * C::kTileBytes;
#pragma unroll
            for (int depth = 0; depth < kSumChunk / 16; ++depth)
                Wgmma<T>::multiply_registers(added, ones[chunk * kSumChunk / 16 + depth],
                                             matrix(place + (row % C::kCols + depth * 16) * 128, C::kCols * 128), true);
        }
        commit_products();
        wait_for_products<0>();
        pin(added);
    }

    __device__ __forceinline__ void read_values_before(const RowTile &tile, float (&added)[C::kWidth / 2]) const {
        const float *before = values_before<Variant, T>(p_, tile.kv_pair, counted(tile));
#pragma unroll
        for (int i = 0; i < C::kWidth / 2; ++i) {
            const int column = i / 4 * 8 + threadIdx.x % 4 * 2 + i % 2;
            added[i] = column < p_.shape.value_width ? before[column] : 0.f;
        }
    }

    // Swizzled as the copy unit wants it.
    __device__ __forceinline__ void stage_rows(const float (&out)[C::kWidth / 2]) const {
        const int warp = threadIdx.x % 128 / 32, lane = threadIdx.x % 32, row = warp * 16 + lane % 16;
#pragma unroll
        for (int n = 0; n < C::kWidth / 8; n += 2) {
            uint32_t packed[4];
#pragma unroll
            for (int e = 0; e < 4; ++e) packed[e] = Mma<T>::pack(out[n * 4 + e * 2], out[n * 4 + e * 2 + 1]);
            const int piece = n + lane / 16;
            store_matrix_x4(outputs() + piece / 8 * 64 * 128 + row * 128 + (piece % 8 ^ row % 8) * 16, packed);
        }
    }

    const ParamsOf<Variant, T> &p_;
    const CUtensorMap &o_;
    const uint32_t shared_;
    const Barriers<C> barriers_;
    const int consumer_;
    Place at_;
    int query_parity_ = 0;
    bool waited_ = false;
};

}  // namespace attnexport::sm90
