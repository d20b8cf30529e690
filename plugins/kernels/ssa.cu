// Selective synchronization attention without a selection. The order parameter r is a reduction of its own; weights
// need no running maximum, and a warp's tile in which nothing is locked skips the second product.
#include <attnexport/launch.cuh>
#include <attnexport/prefix_sums.cuh>
#include <attnexport/row_norms.cuh>

namespace attnexport {
namespace {

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
            Waves::add(sums, Mma<T>::widen(source[static_cast<int64_t>(begin + key) * width + column]));
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

// order[pair] at the batch's length, from the sums before each chunk.
template <class T>
__global__ void write_order_at_length(const T *theta, const float *before, float *order, attnexport_shape shape) {
    __shared__ float partial[8];
    const int pair = blockIdx.x, column = threadIdx.x, width = shape.width, chunks = prefix_chunks(shape.keys);
    const int count = present_keys(shape, pair / shape.kv_heads);
    float magnitude = 0.f;
    if (column < width && count > 0) {
        const int chunk = (count - 1) / kPrefixChunk;
        const float *start = before + (static_cast<int64_t>(pair) * chunks + chunk) * 2 * width + column;
        float sums[2] = {start[0], start[width]};
        for (int key = chunk * kPrefixChunk; key < count; ++key)
            Waves::add(sums, Mma<T>::widen(theta[(static_cast<int64_t>(pair) * shape.keys + key) * width + column]));
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

__device__ __forceinline__ float square_root(float x) {
    float y;
    asm("sqrt.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

template <class T>
struct Ssa {
    static constexpr bool kSoftmax = false, kKeyNumbers = true, kAdds = false;
    static constexpr float kHidden = 0.f;

    struct RowParams {
        const T *coupling, *alpha;
        const float *order, *row_norms;
        float eps;
    };

    struct Row {
        float half_norm, decay, lock, eps;  // -|omega_i|^2 / 2, 4 alpha log2(e), 2 / (K r)^2
    };

    static __device__ __forceinline__ Row row(const RowParams &p, const attnexport_shape &s, int batch, int head, int i) {
        const int64_t pair = static_cast<int64_t>(batch) * s.kv_heads + head / (s.heads / s.kv_heads);
        const float order = p.order[s.causal ? pair * (s.keys + 1) + visible_count(s, batch, i) : pair];
        const float lock = Mma<T>::widen(p.coupling[0]) * order;
        const int64_t at = (static_cast<int64_t>(batch) * s.heads + head) * s.rows + i;
        const float decay = 4.f * kLog2E * Mma<T>::widen(p.alpha[head]);
        return Row{-p.row_norms[at], decay, 2.f / fmaxf(lock * lock, 1e-30f), p.eps};
    }

    // The product q.k is added to -(|q|^2 + |k|^2) / 2, which makes -D2 / 2.
    static __device__ __forceinline__ float initial(float half_key_norm, const Row &row) {
        return row.half_norm - half_key_norm;
    }

    static __device__ __forceinline__ float score(float sum, const Row &row) {
        const float negative = fminf(sum, 0.f);
        const float inner = fmaf(negative, row.lock, exp2_fast(negative * row.decay));
        return square_root(fmaxf(inner, 0.f));
    }

    static __device__ __forceinline__ float exponent(float score, const Row &) { return score; }
    static __device__ __forceinline__ float exponent_minus(float score, float, const Row &) { return score; }
    static __device__ __forceinline__ float normalise(float sum, const Row &row) { return 1.f / (sum + row.eps); }
    static __device__ __forceinline__ float addend(const Row &, int) { return 0.f; }
};

template <class T>
struct Plan {
    ForwardParams<Ssa<T>, T> forward;
    float *chunk_sums, *order, *row_norms, *key_norms;
    size_t bytes;

    Plan(const attnexport_ssa_params &p, void *base, int multiprocessors) : forward{} {
        const attnexport_shape &s = p.shape;
        const size_t pairs = static_cast<size_t>(s.batch) * s.kv_heads;
        Workspace workspace(base);
        chunk_sums = workspace.take<float>(pairs * prefix_chunks(s.keys) * 2 * s.width);
        order = workspace.take<float>(pairs * (s.causal ? s.keys + 1 : 1));
        row_norms = workspace.take<float>(static_cast<size_t>(s.batch) * s.heads * s.rows);
        key_norms = workspace.take<float>(pairs * s.keys);
        forward.shape = s;
        forward.q = static_cast<const T *>(p.omega_q);
        forward.k = static_cast<const T *>(p.omega_k);
        forward.v = static_cast<const T *>(p.v);
        forward.out = static_cast<T *>(p.out);
        forward.key_numbers = key_norms;
        forward.row_params = {static_cast<const T *>(p.coupling), static_cast<const T *>(p.alpha), order, row_norms, p.eps};
        bytes = take_split_workspace(workspace, forward, multiprocessors);
    }
};

template <class T>
int run(const attnexport_ssa_params &p, void *workspace, size_t size, cudaStream_t stream) {
    const Device device = Device::current();
    const Plan<T> plan(p, workspace, device.multiprocessors);
    if (plan.bytes > size) return ATTNEXPORT_WORKSPACE_TOO_SMALL;
    const attnexport_shape &s = p.shape;
    const int pairs = s.batch * s.kv_heads, chunks = prefix_chunks(s.keys), threads = (s.width + 31) / 32 * 32;
    const T *theta = static_cast<const T *>(p.theta);
    if (pairs > 0) {
        if (chunks > 0) {
            sum_chunks<T, Waves><<<dim3(chunks, pairs), threads, 0, stream>>>(theta, plan.chunk_sums, s.keys, s.width);
            scan_chunks<<<dim3((2 * s.width + 63) / 64, pairs), 64, 0, stream>>>(plan.chunk_sums, chunks, 2 * s.width);
        }
        if (s.causal && chunks > 0)
            write_orders<T><<<dim3(chunks, pairs), threads, 0, stream>>>(theta, plan.chunk_sums, plan.order, s.keys, s.width);
        else if (s.causal)
            cudaMemsetAsync(plan.order, 0, sizeof(float) * pairs, stream);
        else
            write_order_at_length<T><<<pairs, threads, 0, stream>>>(theta, plan.chunk_sums, plan.order, s);
    }
    launch_row_norms(plan.forward.q, plan.row_norms, static_cast<int64_t>(s.batch) * s.heads * s.rows, s.width, 0.5f, stream);
    launch_row_norms(plan.forward.k, plan.key_norms, static_cast<int64_t>(pairs) * s.keys, s.width, 0.5f, stream);
    return launch_forward(plan.forward, device, stream);
}

}  // namespace
}  // namespace attnexport

size_t attnexport_ssa_workspace(const attnexport_ssa_params *p) {
    return attnexport::Plan<__half>(*p, nullptr, attnexport::Device::current().multiprocessors).bytes;
}

int attnexport_ssa(const attnexport_ssa_params *p, void *workspace, size_t size, void *stream) {
    if (!attnexport::valid(p->shape)) return ATTNEXPORT_UNSUPPORTED;
    const auto on = static_cast<cudaStream_t>(stream);
    if (p->shape.dtype == ATTNEXPORT_FLOAT16) return attnexport::run<__half>(*p, workspace, size, on);
    if (p->shape.dtype == ATTNEXPORT_BFLOAT16) return attnexport::run<__nv_bfloat16>(*p, workspace, size, on);
    return ATTNEXPORT_UNSUPPORTED;
}
