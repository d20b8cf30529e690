// Krause attention without a selection: softmax of (q.k - |k|^2 / 2) / sigma^2 over the visible keys of a window.
#include <attnexport/launch.cuh>
#include <attnexport/row_norms.cuh>

namespace attnexport {
namespace {

template <class T>
struct Krause {
    static constexpr bool kSoftmax = true, kKeyNumbers = true, kAdds = false;
    static constexpr float kHidden = -INFINITY;

    struct RowParams {
        const T *sigma;
        int per_head;
    };

    struct Row {
        float scale;  // log2(e) / sigma^2
    };

    static __device__ __forceinline__ Row row(const RowParams &p, const attnexport_shape &, int, int head, int) {
        const float sigma = Mma<T>::widen(p.sigma[p.per_head ? head : 0]);
        return Row{kLog2E / (sigma * sigma)};
    }

    // The product q.k is added to -|k|^2 / 2.
    static __device__ __forceinline__ float initial(float half_key_norm, const Row &) { return -half_key_norm; }
    static __device__ __forceinline__ float score(float sum, const Row &) { return sum; }

    static __device__ __forceinline__ float exponent(float score, const Row &row) { return score * row.scale; }

    static __device__ __forceinline__ float exponent_minus(float score, float shift, const Row &row) {
        return fmaf(score, row.scale, -shift);
    }

    static __device__ __forceinline__ float normalise(float sum, const Row &) { return sum > 0.f ? 1.f / sum : 0.f; }
    static __device__ __forceinline__ float addend(const Row &, int) { return 0.f; }
};

template <class T>
struct Plan {
    ForwardParams<Krause<T>, T> forward;
    float *key_norms;
    size_t bytes;

    Plan(const attnexport_krause_params &p, void *base, int multiprocessors) : forward{} {
        forward.shape = p.shape;
        forward.window = p.window;
        forward.q = static_cast<const T *>(p.q);
        forward.k = static_cast<const T *>(p.k);
        forward.v = static_cast<const T *>(p.v);
        forward.out = static_cast<T *>(p.out);
        forward.row_params = {static_cast<const T *>(p.sigma), p.sigma_per_head};
        Workspace workspace(base);
        key_norms = workspace.take<float>(static_cast<size_t>(p.shape.batch) * p.shape.kv_heads * p.shape.keys);
        forward.key_numbers = key_norms;
        bytes = take_split_workspace(workspace, forward, multiprocessors);
    }
};

template <class T>
int run(const attnexport_krause_params &p, void *workspace, size_t size, cudaStream_t stream) {
    const Device device = Device::current();
    const Plan<T> plan(p, workspace, device.multiprocessors);
    if (plan.bytes > size) return ATTNEXPORT_WORKSPACE_TOO_SMALL;
    const int64_t keys = static_cast<int64_t>(p.shape.batch) * p.shape.kv_heads * p.shape.keys;
    launch_row_norms(plan.forward.k, plan.key_norms, keys, p.shape.width, 0.5f, stream);
    return launch_forward(plan.forward, device, stream);
}

}  // namespace
}  // namespace attnexport

size_t attnexport_krause_workspace(const attnexport_krause_params *p) {
    return attnexport::Plan<__half>(*p, nullptr, attnexport::Device::current().multiprocessors).bytes;
}

int attnexport_krause(const attnexport_krause_params *p, void *workspace, size_t size, void *stream) {
    if (!attnexport::valid(p->shape)) return ATTNEXPORT_UNSUPPORTED;
    const auto on = static_cast<cudaStream_t>(stream);
    if (p->shape.dtype == ATTNEXPORT_FLOAT16) return attnexport::run<__half>(*p, workspace, size, on);
    if (p->shape.dtype == ATTNEXPORT_BFLOAT16) return attnexport::run<__nv_bfloat16>(*p, workspace, size, on);
    return ATTNEXPORT_UNSUPPORTED;
}
