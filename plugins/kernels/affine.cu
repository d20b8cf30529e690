// Affine-scaled attention: alpha times softmax attention plus beta times the sum of the visible values.
#include <attnexport/launch.cuh>
#include <attnexport/prefix_sums.cuh>

namespace attnexport {
namespace {

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
        sum += Mma<T>::widen(source[static_cast<int64_t>(key) * width]);
    }
    if (first + count == keys) target[static_cast<int64_t>(count) * width] = sum;
}

// totals[pair][column] = sum of the values below the batch's length.
template <class T>
__global__ void write_totals(const T *values, const float *before, float *totals, attnexport_shape shape) {
    const int pair = blockIdx.x, column = threadIdx.x, width = shape.value_width;
    if (column >= width) return;
    const int count = present_keys(shape, pair / shape.kv_heads);
    const int chunks = prefix_chunks(shape.keys);
    float sum = 0.f;
    if (count > 0) {
        const int chunk = (count - 1) / kPrefixChunk;
        sum = before[(static_cast<int64_t>(pair) * chunks + chunk) * width + column];
        for (int key = chunk * kPrefixChunk; key < count; ++key)
            sum += Mma<T>::widen(values[(static_cast<int64_t>(pair) * shape.keys + key) * width + column]);
    }
    totals[static_cast<int64_t>(pair) * width + column] = sum;
}

template <class T>
struct Affine {
    static constexpr bool kSoftmax = true, kKeyNumbers = false, kAdds = true;
    static constexpr float kHidden = -INFINITY;

    struct RowParams {
        const T *alpha, *beta;
        const float *sums;
        float scale;  // times log2(e)
    };

    struct Row {
        float scale, alpha, beta;
        bool negative;  // the maximum is sought before scaling
        const float *sums;
    };

    static __device__ __forceinline__ Row row(const RowParams &p, const attnexport_shape &s, int batch, int head, int i) {
        const int64_t at = (static_cast<int64_t>(batch) * s.heads + head) * s.rows + i;
        const int64_t pair = static_cast<int64_t>(batch) * s.kv_heads + head / (s.heads / s.kv_heads);
        const int64_t sums = s.causal ? pair * (s.keys + 1) + visible_count(s, batch, i) : pair;
        return Row{fabsf(p.scale), Mma<T>::widen(p.alpha[at]), Mma<T>::widen(p.beta[at]), p.scale < 0.f,
                   p.sums + sums * s.value_width};
    }

    static __device__ __forceinline__ float initial(float, const Row &) { return 0.f; }
    static __device__ __forceinline__ float score(float dot, const Row &row) { return row.negative ? -dot : dot; }

    static __device__ __forceinline__ float exponent(float score, const Row &row) { return score * row.scale; }

    static __device__ __forceinline__ float exponent_minus(float score, float shift, const Row &row) {
        return fmaf(score, row.scale, -shift);
    }

    static __device__ __forceinline__ float normalise(float sum, const Row &row) {
        return sum > 0.f ? row.alpha / sum : 0.f;
    }

    static __device__ __forceinline__ float addend(const Row &row, int column) { return row.beta * row.sums[column]; }
};

template <class T>
struct Plan {
    ForwardParams<Affine<T>, T> forward;
    float *chunk_sums, *sums;
    size_t bytes;

    Plan(const attnexport_affine_params &p, void *base, int multiprocessors) : forward{} {
        const attnexport_shape &s = p.shape;
        const size_t pairs = static_cast<size_t>(s.batch) * s.kv_heads;
        Workspace workspace(base);
        chunk_sums = workspace.take<float>(pairs * prefix_chunks(s.keys) * s.value_width);
        sums = workspace.take<float>(pairs * (s.causal ? s.keys + 1 : 1) * s.value_width);
        forward.shape = s;
        forward.q = static_cast<const T *>(p.q);
        forward.k = static_cast<const T *>(p.k);
        forward.v = static_cast<const T *>(p.v);
        forward.out = static_cast<T *>(p.out);
        forward.row_params = {static_cast<const T *>(p.alpha), static_cast<const T *>(p.beta), sums, p.scale * kLog2E};
        bytes = take_split_workspace(workspace, forward, multiprocessors);
    }
};

template <class T>
int run(const attnexport_affine_params &p, void *workspace, size_t size, cudaStream_t stream) {
    const Device device = Device::current();
    const Plan<T> plan(p, workspace, device.multiprocessors);
    if (plan.bytes > size) return ATTNEXPORT_WORKSPACE_TOO_SMALL;
    const attnexport_shape &s = p.shape;
    const int pairs = s.batch * s.kv_heads, chunks = prefix_chunks(s.keys), threads = (s.value_width + 31) / 32 * 32;
    const T *v = plan.forward.v;
    if (pairs > 0 && chunks > 0) {
        sum_chunks<T, Identity><<<dim3(chunks, pairs), threads, 0, stream>>>(v, plan.chunk_sums, s.keys, s.value_width);
        scan_chunks<<<dim3((s.value_width + 63) / 64, pairs), 64, 0, stream>>>(plan.chunk_sums, chunks, s.value_width);
        if (s.causal)
            write_prefixes<T><<<dim3(chunks, pairs), threads, 0, stream>>>(v, plan.chunk_sums, plan.sums, s.keys, s.value_width);
    }
    if (pairs > 0 && !s.causal) write_totals<T><<<pairs, threads, 0, stream>>>(v, plan.chunk_sums, plan.sums, s);
    if (pairs > 0 && s.causal && chunks == 0)
        cudaMemsetAsync(plan.sums, 0, sizeof(float) * pairs * s.value_width, stream);
    return launch_forward(plan.forward, device, stream);
}

}  // namespace
}  // namespace attnexport

size_t attnexport_affine_workspace(const attnexport_affine_params *p) {
    return attnexport::Plan<__half>(*p, nullptr, attnexport::Device::current().multiprocessors).bytes;
}

int attnexport_affine(const attnexport_affine_params *p, void *workspace, size_t size, void *stream) {
    if (!attnexport::valid(p->shape)) return ATTNEXPORT_UNSUPPORTED;
    const auto on = static_cast<cudaStream_t>(stream);
    if (p->shape.dtype == ATTNEXPORT_FLOAT16) return attnexport::run<__half>(*p, workspace, size, on);
    if (p->shape.dtype == ATTNEXPORT_BFLOAT16) return attnexport::run<__nv_bfloat16>(*p, workspace, size, on);
    return ATTNEXPORT_UNSUPPORTED;
}
