// Affine-scaled attention: alpha times softmax attention plus beta times the sum of the visible values.
#include <affine.cuh>
#include <forward/plan.cuh>

namespace attnexport {
namespace {

enum Input { kQ, kK, kV, kAlpha, kBeta, kLengths };
constexpr attnexport_input kInputs[] = {{"q", nullptr, 0},      {"k", nullptr, 0},    {"v", nullptr, 0},
                                        {"alpha", nullptr, 0},  {"beta", nullptr, 0}, {"kv_lengths", nullptr, 1},
                                        {"q_start", nullptr, 1}};

enum Attribute { kScale, kCausal };
constexpr attnexport_attribute kAttributes[] = {{"scale", ATTNEXPORT_NUMBER}, {"causal", ATTNEXPORT_INTEGER}};

// A block adds kSumColumns columns of a pair's values, a thread one of them in one of kSumParts parts of the keys.
constexpr int kSumColumns = 16, kSumParts = 32, kSumThreads = kSumColumns * kSumParts;

// sums[pair][chunk][column] = sum of the values before the chunk. A part is some whole chunks.
template <class T>
__global__ void __launch_bounds__(kSumThreads)
    write_sums_before(const T *__restrict__ values, float *__restrict__ sums, int keys, int width) {
    __shared__ float parts[kSumParts][kSumColumns];
    wait_for_previous();
    let_next_begin();
    const int own = threadIdx.x % kSumColumns, part = threadIdx.x / kSumColumns;
    const int column = blockIdx.x * kSumColumns + own, chunks = keys / kSumChunk + 1;
    const int of_part = (chunks + kSumParts - 1) / kSumParts, first = part * of_part;
    const int end = column < width ? min(first + of_part, chunks) : first;
    const T *source = values + static_cast<int64_t>(blockIdx.y) * keys * width + column;
    float *target = sums + static_cast<int64_t>(blockIdx.y) * chunks * width + column;
    // The sums are those of the part until those of the parts before are known.
    float sum = 0.f;
    for (int chunk = first; chunk < end; ++chunk) {
        target[static_cast<int64_t>(chunk) * width] = sum;
        const int begin = chunk * kSumChunk, count = min(kSumChunk, keys - begin);
        float own_sum = 0.f;
#pragma unroll 16
        for (int key = 0; key < count; ++key) own_sum += widen(source[static_cast<int64_t>(begin + key) * width]);
        sum += own_sum;
    }
    parts[part][own] = sum;
    __syncthreads();
    float before = 0.f;
    for (int other = 0; other < part; ++other) before += parts[other][own];
    for (int chunk = first; chunk < end; ++chunk) target[static_cast<int64_t>(chunk) * width] += before;
}

// totals[pair][column] = sum of the values that row 0 sees.
template <class T>
__global__ void __launch_bounds__(kSumThreads) write_totals(const T *values, float *totals, Shape shape) {
    __shared__ float parts[kSumParts][kSumColumns];
    wait_for_previous();
    let_next_begin();
    const int pair = blockIdx.y, width = shape.value_width, own = threadIdx.x % kSumColumns;
    const int part = threadIdx.x / kSumColumns, column = blockIdx.x * kSumColumns + own;
    const int count = column < width ? visible_count(shape, pair / shape.kv_heads, 0) : 0;
    const T *source = values + static_cast<int64_t>(pair) * shape.keys * width + column;
    float sum = 0.f;
#pragma unroll 16
    for (int key = part; key < count; key += kSumParts) sum += widen(source[static_cast<int64_t>(key) * width]);
    parts[part][own] = sum;
    __syncthreads();
    if (part > 0 || column >= width) return;
    float total = 0.f;
    for (int other = 0; other < kSumParts; ++other) total += parts[other][own];
    totals[static_cast<int64_t>(pair) * width + column] = total;
}

// Whether the forward kernel gathers the sum of the visible values on the way:
// a row of its tile is free, and all rows see the same keys.
template <class T>
bool fuses_value_sums(const Shape &s, int splits) {
    return splits > 1 && uses_tensor_cores<T>(s) && s.rows == 1 && s.group_rows() < kFewRows;
}

template <class T>
struct AffinePlan : ForwardPlan<T, Affine<T>> {
    float *sums = nullptr, *parts = nullptr;

    int prepare(const attnexport_call &raw, void *base) {
        const Call call(raw);
        const int status = this->read(call, {kQ, kK, kV, kLengths}, call.integer(kCausal) != 0);
        if (status != ATTNEXPORT_OK) return status;
        const Shape &s = this->forward.shape;
        if (!call.matches(kAlpha, s.batch, s.heads, s.rows) || !call.matches(kBeta, s.batch, s.heads, s.rows))
            return ATTNEXPORT_INVALID;
        const size_t pairs = static_cast<size_t>(s.pairs());
        Workspace workspace(base);
        sums = workspace.take<float>(pairs * sum_chunks(s) * s.value_width);
        parts = workspace.take<float>(most_split_pairs(s) * s.value_width);
        // Hidden scores are -INFINITY, which a scale of zero would turn into NaN.
        const float scale = call.number(kScale) == 0.f ? 1e-30f : call.number(kScale) * kLog2E;
        this->forward.row_params = {call.data<T>(kAlpha), call.data<T>(kBeta), scale};
        return this->take_workspace(workspace);
    }

    int launch(const Device &device, cudaStream_t stream) {
        const int splits = choose_splits<T>(this->forward.shape, 0, device);
        const bool fused = fuses_value_sums<T>(this->forward.shape, splits);
        this->forward.values_before = fused ? nullptr : sums;
        this->forward.value_parts = parts;
        if (!fused && launch_sums(stream) != cudaSuccess) return ATTNEXPORT_CUDA_ERROR;
        return ForwardPlan<T, Affine<T>>::launch(device, stream);
    }

  private:
    cudaError_t launch_sums(cudaStream_t stream) const {
        const Shape &s = this->forward.shape;
        if (s.pairs() == 0) return cudaSuccess;
        const T *v = this->forward.v;
        const dim3 grid((s.value_width + kSumColumns - 1) / kSumColumns, s.pairs()), block(kSumThreads);
        if (s.rows_differ())
            return launch_kernel(write_sums_before<T>, grid, block, 0, stream, v, sums, s.keys, s.value_width);
        return launch_kernel(write_totals<T>, grid, block, 0, stream, v, sums, s);
    }
};

const attnexport_op op = describe_plan<AffinePlan>("AffineScaledAttention", kInputs, kAttributes);
const Registration registration(op);

}  // namespace
}  // namespace attnexport
