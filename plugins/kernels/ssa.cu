// Selective synchronization attention, over all keys or the top-k of each row. The order parameter r is a reduction of
// its own; weights need no running maximum, and a warp's tile in which nothing is locked skips the second product.
#include <common/prefix_sums.cuh>
#include <forward/plan.cuh>
#include <ssa.cuh>

namespace attnexport {
namespace {

enum Input { kOmegaQ, kOmegaK, kTheta, kV, kCoupling, kAlpha, kLengths };
constexpr attnexport_input kInputs[] = {{"omega_q", nullptr, 0},    {"omega_k", nullptr, 0},  {"theta", nullptr, 0},
                                        {"v", nullptr, 0},          {"coupling", nullptr, 0}, {"alpha", nullptr, 0},
                                        {"kv_lengths", nullptr, 1}, {"q_start", nullptr, 1}};

enum Attribute { kTopKeys, kCausal, kEps };
constexpr attnexport_attribute kAttributes[] = {
    {"top_k", ATTNEXPORT_INTEGER}, {"causal", ATTNEXPORT_INTEGER}, {"eps", ATTNEXPORT_NUMBER}};

constexpr int kOrderKeys = 16;  // keys whose magnitudes a block averages at once

struct Waves {
    static constexpr int kTerms = 2;
    static __device__ __forceinline__ void add(float (&sums)[2], float phase) {
        float sine, cosine;
        sincosf(phase, &sine, &cosine);
        sums[0] += cosine;
        sums[1] += sine;
    }
};

// order[pair][c] = mean over the columns of |mean of the first c waves|, c = 0 .. keys.
template <class T>
__global__ void write_orders(const T *theta, const float *before, float *order, int keys, int width) {
    __shared__ float magnitudes[kOrderKeys][256];
    const int chunk = blockIdx.x, pair = blockIdx.y, column = threadIdx.x;
    const int first = chunk * kPrefixChunk, count = min(kPrefixChunk, keys - first);
    const T *source = theta + (static_cast<int64_t>(pair) * keys + first) * width;
    float *target = order + static_cast<int64_t>(pair) * (keys + 1) + first + 1;
    float sums[2] = {};
    if (column < width) {
        const float *start = before + (static_cast<int64_t>(pair) * gridDim.x + chunk) * 2 * width + column;
        sums[0] = start[0];
        sums[1] = start[width];
    }
    for (int begin = 0; begin < count; begin += kOrderKeys) {
        const int here = min(kOrderKeys, count - begin);
        for (int key = 0; key < here && column < width; ++key) {
            Waves::add(sums, widen(source[static_cast<int64_t>(begin + key) * width + column]));
            magnitudes[key][column] = sqrtf(sums[0] * sums[0] + sums[1] * sums[1]);
        }
        __syncthreads();
        const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, warps = blockDim.x / 32;
        for (int key = warp; key < here; key += warps) {
            float sum = 0.f;
            for (int at = lane; at < width; at += 32) sum += magnitudes[key][at];
#pragma unroll
            for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, step);
            if (lane == 0) target[begin + key] = sum / (static_cast<float>(width) * (first + begin + key + 1));
        }
        __syncthreads();
    }
    if (chunk == 0 && threadIdx.x == 0) order[static_cast<int64_t>(pair) * (keys + 1)] = 0.f;
}

// order[pair] over the keys that row 0 sees, from the sums before each chunk.
template <class T>
__global__ void write_order_of_row(const T *theta, const float *before, float *order, Shape shape) {
    __shared__ float partial[8];
    const int pair = blockIdx.x, column = threadIdx.x, width = shape.width, chunks = prefix_chunks(shape.keys);
    const int count = visible_count(shape, pair / shape.kv_heads, 0);
    float magnitude = 0.f;
    if (column < width && count > 0) {
        const int chunk = (count - 1) / kPrefixChunk;
        const float *start = before + (static_cast<int64_t>(pair) * chunks + chunk) * 2 * width + column;
        float sums[2] = {start[0], start[width]};
        for (int key = chunk * kPrefixChunk; key < count; ++key)
            Waves::add(sums, widen(theta[(static_cast<int64_t>(pair) * shape.keys + key) * width + column]));
        magnitude = sqrtf(sums[0] * sums[0] + sums[1] * sums[1]) / (static_cast<float>(count) * width);
    }
#pragma unroll
    for (int step = 16; step > 0; step /= 2) magnitude += __shfl_xor_sync(0xffffffffu, magnitude, step);
    if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = magnitude;
    __syncthreads();
    if (threadIdx.x == 0) {
        float sum = 0.f;
        for (int warp = 0; warp < static_cast<int>(blockDim.x) / 32; ++warp) sum += partial[warp];
        order[pair] = sum;
    }
}

template <class T>
struct SsaPlan : ForwardPlan<T, Ssa<T, false>, Ssa<T, true>> {
    using Base = ForwardPlan<T, Ssa<T, false>, Ssa<T, true>>;

    const T *theta = nullptr;
    float *chunk_sums = nullptr, *order = nullptr, *row_norms = nullptr;

    int prepare(const attnexport_call &raw, void *base) {
        const Call call(raw);
        const int status = this->read(call, {kOmegaQ, kOmegaK, kV, kLengths}, call.integer(kCausal) != 0);
        if (status != ATTNEXPORT_OK) return status;
        const Shape &s = this->forward.shape;
        if (!call.matches(kTheta, s.batch, s.kv_heads, s.keys, s.width) || !call.matches(kCoupling) ||
            !call.matches(kAlpha, s.heads) || call.integer(kTopKeys) < 0)
            return ATTNEXPORT_INVALID;
        const size_t pairs = static_cast<size_t>(s.pairs());
        Workspace workspace(base);
        chunk_sums = workspace.take<float>(pairs * prefix_chunks(s.keys) * 2 * s.width);
        order = workspace.take<float>(pairs * (order_per_row(s) ? s.keys + 1 : 1));
        row_norms = workspace.take<float>(total_rows(s));
        theta = call.data<T>(kTheta);
        this->forward.row_params = {call.data<T>(kCoupling), call.data<T>(kAlpha), order, row_norms, call.number(kEps)};
        return this->take_workspace(workspace, call.integer(kTopKeys));
    }

    int launch(const Device &device, cudaStream_t stream) {
        const Shape &s = this->forward.shape;
        if (s.pairs() == 0) return ATTNEXPORT_OK;
        if (launch_order(stream) != cudaSuccess) return ATTNEXPORT_CUDA_ERROR;
        const int64_t rows = static_cast<int64_t>(total_rows(s));
        const int status = launch_row_norms(this->forward.q, row_norms, rows, s.width, 0.5f, stream);
        return status == ATTNEXPORT_OK ? Base::launch(device, stream) : status;
    }

  private:
    cudaError_t launch_order(cudaStream_t stream) const {
        const Shape &s = this->forward.shape;
        const int chunks = prefix_chunks(s.keys);
        const dim3 threads((s.width + 31) / 32 * 32), chunk_grid(chunks, s.pairs());
        if (chunks > 0) {
            const dim3 scan_grid((2 * s.width + 63) / 64, s.pairs());
            cudaError_t error =
                launch_kernel(sum_chunks<T, Waves>, chunk_grid, threads, 0, stream, theta, chunk_sums, s.keys, s.width);
            if (error == cudaSuccess)
                error = launch_kernel(scan_chunks, scan_grid, dim3(64), 0, stream, chunk_sums, chunks, 2 * s.width);
            if (error != cudaSuccess) return error;
        }
        if (!order_per_row(s))
            return launch_kernel(write_order_of_row<T>, dim3(s.pairs()), threads, 0, stream, theta, chunk_sums, order,
                                 s);
        if (chunks > 0)
            return launch_kernel(write_orders<T>, chunk_grid, threads, 0, stream, theta, chunk_sums, order, s.keys,
                                 s.width);
        return cudaMemsetAsync(order, 0, sizeof(float) * s.pairs(), stream);
    }
};

const attnexport_op op = describe_plan<SsaPlan>("SelectiveSynchronizationAttention", kInputs, kAttributes);
const Registration registration(op);

}  // namespace
}  // namespace attnexport
