// Affine-scaled attention: alpha times softmax attention plus beta times the sum of the visible values.
#include <common/prefix_sums.cuh>
#include <forward/plan.cuh>

namespace attnexport {
namespace {

enum Input { kQ, kK, kV, kAlpha, kBeta, kLengths };
constexpr attnexport_input kInputs[] = {{"q", nullptr, 0},      {"k", nullptr, 0},    {"v", nullptr, 0},
                                        {"alpha", nullptr, 0},  {"beta", nullptr, 0}, {"kv_lengths", nullptr, 1},
                                        {"q_start", nullptr, 1}};

enum Attribute { kScale, kCausal };
constexpr attnexport_attribute kAttributes[] = {{"scale", ATTNEXPORT_NUMBER}, {"causal", ATTNEXPORT_INTEGER}};

// sums[pair][c][column] = sum of the first c values, c = 0 .. keys; or, with a count per batch, only that one.
template <class T>
__global__ void write_prefixes(const T *values, const float *before, float *sums, int keys, int width) {
    const int chunk = blockIdx.x, pair = blockIdx.y, column = threadIdx.x;
    if (column >= width) return;
    const int first = chunk * kPrefixChunk, count = min(kPrefixChunk, keys - first);
    const T *source = values + (static_cast<int64_t>(pair) * keys + first) * width + column;
    float *target = sums + (static_cast<int64_t>(pair) * (keys + 1) + first) * width + column;
    float sum = before[(static_cast<int64_t>(pair) * gridDim.x + chunk) * width + column];
    for (int key = 0; key < count; ++key) {
        target[static_cast<int64_t>(key) * width] = sum;
        sum += widen(source[static_cast<int64_t>(key) * width]);
    }
    if (first + count == keys) target[static_cast<int64_t>(count) * width] = sum;
}

// Whether rows see different keys, so that each has a sum of its own.
__host__ __device__ inline bool sum_per_row(const Shape &s) { return s.causal && s.rows > 1; }

// totals[pair][column] = sum of the values that row 0 sees.
template <class T>
__global__ void write_totals(const T *values, const float *before, float *totals, Shape shape) {
    const int pair = blockIdx.x, column = threadIdx.x, width = shape.value_width;
    if (column >= width) return;
    const int count = visible_count(shape, pair / shape.kv_heads, 0);
    const int chunks = prefix_chunks(shape.keys);
    float sum = 0.f;
    if (count > 0) {
        const int chunk = (count - 1) / kPrefixChunk;
        sum = before[(static_cast<int64_t>(pair) * chunks + chunk) * width + column];
        for (int key = chunk * kPrefixChunk; key < count; ++key)
            sum += widen(values[(static_cast<int64_t>(pair) * shape.keys + key) * width + column]);
    }
    totals[static_cast<int64_t>(pair) * width + column] = sum;
}

// Whether the forward kernel gathers the sum of the visible values on the way: a row of its tile is free, and all rows
// see the same keys.
template <class T>
bool fuses_value_sums(const Shape &s, int splits) {
    return splits > 1 && uses_tensor_cores<T>(s) && s.rows == 1 && s.group_rows() < kFewRows;
}

template <class T>
struct AffineRows {
    const T *alpha, *beta;
    const float *sums;
    float scale;  // times log2(e)
};

template <class T>
struct Affine : SoftmaxHooks<AffineRows<T>> {
    static constexpr bool kAdds = true;

    struct Row {
        float scale, alpha, beta;  // the absolute value of the scale: the maximum is sought before scaling
        const float *sums;
    };

    static __device__ __forceinline__ bool negates_queries(const AffineRows<T> &p) { return p.scale < 0.f; }

    static __device__ __forceinline__ Row row(const AffineRows<T> &p, const Shape &s, int batch, int head, int i) {
        const int64_t at = (static_cast<int64_t>(batch) * s.heads + head) * s.rows + i;
        const int64_t pair = static_cast<int64_t>(batch) * s.kv_heads + head / (s.heads / s.kv_heads);
        const int64_t sums = sum_per_row(s) ? pair * (s.keys + 1) + visible_count(s, batch, i) : pair;
        return Row{fabsf(p.scale), widen(p.alpha[at]), widen(p.beta[at]), p.sums + sums * s.value_width};
    }

    static __device__ __forceinline__ float normalise(float sum, const Row &row) {
        return sum > 0.f ? row.alpha / sum : 0.f;
    }

    static __device__ __forceinline__ float addend(const Row &row, float sum) { return row.beta * sum; }
    static __device__ __forceinline__ float value_sum(const Row &row, int column) { return row.sums[column]; }
};

template <class T>
struct AffinePlan : ForwardPlan<T, Affine<T>> {
    float *chunk_sums = nullptr, *sums = nullptr, *value_sums = nullptr;

    int prepare(const attnexport_call &raw, void *base) {
        const Call call(raw);
        const int status = this->read(call, {kQ, kK, kV, kLengths}, call.integer(kCausal) != 0);
        if (status != ATTNEXPORT_OK) return status;
        const Shape &s = this->forward.shape;
        if (!call.matches(kAlpha, s.batch, s.heads, s.rows) || !call.matches(kBeta, s.batch, s.heads, s.rows))
            return ATTNEXPORT_INVALID;
        const size_t pairs = static_cast<size_t>(s.pairs());
        Workspace workspace(base);
        chunk_sums = workspace.take<float>(pairs * prefix_chunks(s.keys) * s.value_width);
        sums = workspace.take<float>(pairs * (sum_per_row(s) ? s.keys + 1 : 1) * s.value_width);
        value_sums = workspace.take<float>(most_split_pairs(s) * s.value_width);
        // Hidden scores are -INFINITY, which a scale of zero would turn into NaN.
        const float scale = call.number(kScale) == 0.f ? 1e-30f : call.number(kScale) * kLog2E;
        this->forward.row_params = {call.data<T>(kAlpha), call.data<T>(kBeta), sums, scale};
        return this->take_workspace(workspace);
    }

    int launch(const Device &device, cudaStream_t stream) {
        const int splits = choose_splits<T>(this->forward.shape, 0, device);
        const bool fused = fuses_value_sums<T>(this->forward.shape, splits);
        this->forward.value_sums = fused ? value_sums : nullptr;
        if (!fused && launch_sums(stream) != cudaSuccess) return ATTNEXPORT_CUDA_ERROR;
        return ForwardPlan<T, Affine<T>>::launch(device, stream);
    }

  private:
    cudaError_t launch_sums(cudaStream_t stream) const {
        const Shape &s = this->forward.shape;
        const T *v = this->forward.v;
        const int chunks = prefix_chunks(s.keys);
        const dim3 threads((s.value_width + 31) / 32 * 32), pairs(s.pairs()), chunk_grid(chunks, s.pairs());
        if (s.pairs() == 0) return cudaSuccess;
        if (chunks > 0) {
            const dim3 scan_grid((s.value_width + 63) / 64, s.pairs());
            cudaError_t error = launch_kernel(sum_chunks<T, Identity>, chunk_grid, threads, 0, stream, v, chunk_sums,
                                              s.keys, s.value_width);
            if (error == cudaSuccess)
                error = launch_kernel(scan_chunks, scan_grid, dim3(64), 0, stream, chunk_sums, chunks, s.value_width);
            if (error != cudaSuccess) return error;
        }
        if (!sum_per_row(s)) return launch_kernel(write_totals<T>, pairs, threads, 0, stream, v, chunk_sums, sums, s);
        if (chunks > 0)
            return launch_kernel(write_prefixes<T>, chunk_grid, threads, 0, stream, v, chunk_sums, sums, s.keys,
                                 s.value_width);
        return cudaMemsetAsync(sums, 0, sizeof(float) * s.pairs() * s.value_width, stream);
    }
};

const attnexport_op op = describe_plan<AffinePlan>("AffineScaledAttention", kInputs, kAttributes);
const Registration registration(op);

}  // namespace
}  // namespace attnexport
