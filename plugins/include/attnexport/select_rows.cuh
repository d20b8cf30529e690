// Finds the threshold of every row's top-k selection, with the scores of the tensor-core kernel.
#pragma once

#include <attnexport/attention_forward.cuh>

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
    __device__ __forceinline__ RowSelection(SelectionTable<kRows> &table, const SelectParams &select, const Shape &shape,
                                            const Neighbourhood &near, int batch, int first, int splits, int64_t first_row)
        : table_(table), select_(select), digits_(shape.keys), splits_(splits), first_row_(first_row),
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
    __device__ __forceinline__ void visit(const Pass &pass, const SelectionState &state, int row, float score, int key) {
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

template <class Config, class T>
constexpr size_t select_shared_bytes() {
    return sizeof(T) * (Tile<T, Config::kRows, Config::kWidth>::kElements + 2 * Tile<T, Config::kCols, Config::kWidth>::kElements) +
           2 * Config::kCols * sizeof(float) + kBoundsScratch * sizeof(int) + sizeof(SelectionTable<Config::kRows>);
}

template <class Variant, class T, class Config>
__global__ void __launch_bounds__(Config::kThreads) select_rows(const ParamsOf<Variant, T> p, const SelectParams select) {
    constexpr int kWidth = Config::kWidth, kCols = Config::kCols, kRowTiles = Config::kRowTiles, kRows = Config::kRows;
    unsigned char *memory = dynamic_shared();
    const uint32_t q_tile = shared_address(memory);
    const uint32_t k_tiles = q_tile + Tile<T, kRows, kWidth>::kElements * sizeof(T);
    constexpr uint32_t kTileBytes = Tile<T, kCols, kWidth>::kElements * sizeof(T);
    float *key_norms = reinterpret_cast<float *>(memory + Tile<T, kRows, kWidth>::kElements * sizeof(T) + 2 * kTileBytes);
    int *scratch = reinterpret_cast<int *>(key_norms + 2 * kCols);
    auto &table = *reinterpret_cast<SelectionTable<kRows> *>(scratch + kBoundsScratch);

    const Shape &shape = p.shape;
    const Neighbourhood near = neighbourhood_of<Variant>(p);
    const int group = shape.heads / shape.kv_heads, total = shape.group_rows();
    const int first = (gridDim.x - 1 - blockIdx.x) * kRows;
    const int kv_head = blockIdx.y % shape.kv_heads, batch = blockIdx.y / shape.kv_heads;
    const int64_t pair = blockIdx.y;
    const float *norms = Variant::kKeyNorms ? p.key_norms + pair * shape.keys : nullptr;
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, warp_row = warp * kRowTiles * 16;

    TileLoader<T, kRows, kWidth, Config::kThreads>(p.q + pair * total * shape.width, shape.width).load(q_tile, first, total);
    commit_copies();
    const BlockBounds bounds = block_bounds<kRows, Config::kThreads>(shape, near, batch, first, scratch);
    RowSelection<kRows, Config::kThreads> selection(
        table, select, shape, near, batch, first, p.splits, pair * total + first);

    typename Variant::Row row_state[kRowTiles][2];
    KeyRange seen[kRowTiles][2];
    RangeBounds warp_range;
#pragma unroll
    for (int m = 0; m < kRowTiles; ++m)
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const int row = first + warp_row + m * 16 + half * 8 + lane / 4;
            const bool exists = row < total;
            const int i = exists ? row % shape.rows : 0, head = kv_head * group + (exists ? row / shape.rows : 0);
            seen[m][half] = exists ? visible_keys(shape, near, batch, i) : KeyRange{0, 0};
            row_state[m][half] = Variant::row(p.row_params, shape, batch, head, i);
            if (exists) warp_range.include(seen[m][half]);
        }
    warp_range.join_rows_of_warp<Variant::kNear>();
    const TileWalk<Variant::kNear> walk(shape, near, bounds, first, kRows, kCols, p.splits);
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

    const bool grid = near.grid_width > 0;
    for (Pass pass; selection.next(&pass);) {
        SelectionState state[kRowTiles][2];
#pragma unroll
        for (int m = 0; m < kRowTiles; ++m)
#pragma unroll
            for (int half = 0; half < 2; ++half) state[m][half] = table.states[warp_row + m * 16 + half * 8 + lane / 4];

        int tile = walk.first();
        if (tile < walk.end()) load_tile(tile, 0);
        for (int stage = 0, next; tile < walk.end(); tile = next, stage ^= 1) {
            wait_for_copies<0>();
            __syncthreads();
            next = walk.after(tile);
            if (next < walk.end()) load_tile(next, stage ^ 1);
            const int begin = tile * kCols;
            if (warp_range.excludes(begin, begin + kCols)) continue;
            Accumulator scores[kRowTiles][kCols / 8];
            tile_scores<Variant, T, Config>(
                scores, row_state, key_norms + stage * kCols, q_tile, k_tiles + stage * kTileBytes, warp_row);
            const bool partial = warp_range.cuts(begin, begin + kCols) || grid;
#pragma unroll
            for (int n = 0; n < kCols / 8; ++n)
#pragma unroll
                for (int m = 0; m < kRowTiles; ++m)
#pragma unroll
                    for (int e = 0; e < 4; ++e) {
                        if (state[m][e / 2].done) continue;
                        const int row = warp_row + m * 16 + e / 2 * 8 + lane / 4;
                        const int key = begin + n * 8 + (lane % 4) * 2 + e % 2;
                        if (partial) {
                            if (key < seen[m][e / 2].low || key >= seen[m][e / 2].high) continue;
                            const int i = (first + row) % shape.rows;
                            if (grid && !grid_sees(near, i, cell_of(near, i), key)) continue;
                        }
                        selection.visit(pass, state[m][e / 2], row, scores[m][n].x[e], key);
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
