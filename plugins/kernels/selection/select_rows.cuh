// Finds the threshold of every row's top-k selection, with the scores of the tensor-core kernel.
#pragma once

#include <selection/select_block.cuh>

namespace attnexport {

// One block goes through all digits of its rows. When the keys are split over blocks, a launch counts one digit into
// `bins` (batch, kv_heads, group rows, kBins) and pick_rows moves `states` on.
struct SelectParams {
    int wanted;  // keys kept per row
    Threshold *thresholds;
    int *bins;
    SelectionState *states;
    int pass;
};

constexpr int kBinStride = kBins + 1;

// Shared by the block's rows: one histogram or one list of collected candidates a row, and where each row stands.
template <int kRows>
struct SelectionTable {
    SelectionState states[kRows];
    int counts[kRows];
    int bins[kRows * kBinStride];
    int pending, crowded;  // rows that are not done; of those, rows whose candidates do not fit a list

    __device__ __forceinline__ float *list(int row) { return reinterpret_cast<float *>(bins) + row * kBinStride; }
};

// What a pass over the keys does with a candidate.
enum class PassKind { kCount, kCollect };

struct Pass {
    PassKind kind;
    int digit;  // digits before this one are known
};

template <int kRows, int kThreads>
class RowSelection {
  public:
    __device__ __forceinline__ RowSelection(SelectionTable<kRows> &table, const SelectParams &select,
                                            const Shape &shape, const Neighbourhood &near, int batch, int first,
                                            int splits, int64_t first_row)
        : table_(table),
          select_(select),
          digits_(shape.keys),
          splits_(splits),
          first_row_(first_row),
          rows_(min(kRows, shape.group_rows() - first)) {
        for (int row = threadIdx.x; row < kRows; row += kThreads) {
            SelectionState state = SelectionState::start(select.wanted, 0);
            if (row < rows_) {
                const KeyRange seen = visible_keys(shape, near, batch, (first + row) % shape.rows);
                state = SelectionState::start(select.wanted, seen.high - seen.low);
                if (splits > 1 && select.pass > 0) state = select.states[first_row + row];
            }
            table_.states[row] = state;
        }
        digit_ = splits > 1 ? select.pass : 0;
    }

    // Prepares the next pass; false when all rows are done. Ends with a barrier.
    __device__ __forceinline__ bool next(Pass *pass) {
        if (threadIdx.x == 0) table_.pending = table_.crowded = 0;
        __syncthreads();
        for (int row = threadIdx.x; row < kRows; row += kThreads) {
            const SelectionState &state = table_.states[row];
            table_.counts[row] = 0;
            if (state.done) continue;
            table_.pending = 1;
            if (state.candidates > kBins) table_.crowded = 1;
        }
        for (int at = threadIdx.x; at < kRows * kBinStride; at += kThreads) table_.bins[at] = 0;
        __syncthreads();
        if (digit_ >= kDigits || !table_.pending) return false;
        const bool collects = splits_ <= 1 && !table_.crowded && digit_ < kScoreDigits;
        *pass = Pass{collects ? PassKind::kCollect : PassKind::kCount, digit_};
        return true;
    }

    // A key that row `row`, in state `state`, sees.
    __device__ __forceinline__ void visit(const Pass &pass, const SelectionState &state, int row, float score,
                                          int key) {
        if (pass.kind == PassKind::kCount) {
            const int digit = candidate_digit(state, digits_, pass.digit, score, key);
            if (digit >= 0) atomicAdd(table_.bins + row * kBinStride + digit, 1);
        } else if (ordered(score) - state.score <= candidate_span(pass.digit)) {
            const int at = atomicAdd(table_.counts + row, 1);
            if (at < kBins) table_.list(row)[at] = score;
        }
    }

    // Moves the states on behind a pass over the keys.
    __device__ __forceinline__ void finish(const Pass &pass) {
        __syncthreads();
        if (splits_ > 1) {
            for (int at = threadIdx.x; at < rows_ * kBins; at += kThreads) {
                const int row = at / kBins, count = table_.bins[row * kBinStride + at % kBins];
                if (count > 0) atomicAdd(select_.bins + (first_row_ + row) * kBins + at % kBins, count);
            }
            digit_ = kDigits;
            return;
        }
        for (int row = threadIdx.x / 32; row < rows_; row += kThreads / 32) {
            const SelectionState state =
                pass.kind == PassKind::kCount
                    ? pick_digit(table_.states[row], digits_, pass.digit, table_.bins + row * kBinStride)
                    : pick_candidate(table_.states[row], table_.list(row), table_.counts[row]);
            __syncwarp();
            if (threadIdx.x % 32 == 0) table_.states[row] = state;
        }
        digit_ = pass.kind == PassKind::kCount ? digits_.after(pass.digit) : digits_.first_index;
        __syncthreads();
    }

    __device__ __forceinline__ void write_thresholds() {
        if (splits_ > 1) return;
        for (int row = threadIdx.x; row < rows_; row += kThreads)
            select_.thresholds[first_row_ + row] = table_.states[row].threshold();
    }

  private:
    SelectionTable<kRows> &table_;
    const SelectParams &select_;
    Digits digits_;
    int splits_, digit_;
    int64_t first_row_;
    int rows_;
};

template <class Variant, class T, class Config>
constexpr size_t select_shared_bytes =
    SelectBlock<Variant, T, Config>::shared_bytes + sizeof(SelectionTable<Config::kRows>);

template <class Variant, class T, class Config>
__global__ void __launch_bounds__(Config::kThreads)
    select_rows(const ParamsOf<Variant, T> p, const SelectParams select) {
    using Block = SelectBlock<Variant, T, Config>;
    auto &table = *reinterpret_cast<SelectionTable<Config::kRows> *>(Block::rest());
    const Block block(p);
    RowSelection<Config::kRows, Config::kThreads> selection(table, select, p.shape, block.near, block.batch,
                                                            block.first, p.splits, block.first_row());

    for (Pass pass; selection.next(&pass);) {
        const SelectionState state[2] = {table.states[Block::local_row(0, 0)], table.states[Block::local_row(0, 1)]};
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
            const bool partial = block.cuts(tile);
#pragma unroll
            for (int n = 0; n < Config::kCols / 8; ++n)
#pragma unroll
                for (int e = 0; e < 4; ++e) {
                    const int key = Block::key_at(tile, n, e);
                    if (state[e / 2].done || (partial && !block.sees(0, e / 2, key))) continue;
                    selection.visit(pass, state[e / 2], Block::local_row(0, e / 2), scores[0][n].x[e], key);
                }
        }
        selection.finish(pass);
    }
    wait_for_copies<0>();
    selection.write_thresholds();
}

// Moves the states of rows on by one digit whose bins were counted by several blocks; one warp a row.
static __global__ void pick_rows(const SelectParams select, int64_t rows, int keys) {
    const int64_t row = static_cast<int64_t>(blockIdx.x) * (blockDim.x / 32) + threadIdx.x / 32;
    if (row >= rows) return;
    SelectionState state = select.pass == 0 ? SelectionState::start(select.wanted, keys) : select.states[row];
    state = pick_digit(state, Digits(keys), select.pass, select.bins + row * kBins);
    if (threadIdx.x % 32 == 0) {
        select.states[row] = state;
        select.thresholds[row] = state.threshold();
    }
}

}  // namespace attnexport
