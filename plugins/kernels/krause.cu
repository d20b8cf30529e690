// Krause attention: softmax of (q.k - |k|^2 / 2) / sigma^2 over the visible keys of a window or grid, or the top-k of
// them.
#include <common/row_norms.cuh>
#include <forward/launch.cuh>

#include <cstring>

namespace attnexport {
namespace {

enum Input { kQ, kK, kV, kSigma, kLengths };
constexpr attnexport_input kInputs[] = {{"q", nullptr, 0},     {"k", nullptr, 0},          {"v", nullptr, 0},
                                        {"sigma", nullptr, 0}, {"kv_lengths", nullptr, 1}, {"q_start", nullptr, 1}};

enum Attribute { kWindow, kTopKeys, kCausal, kGridHeight, kGridWidth, kGridRadius, kGridMetric, kGridPrefix };
constexpr attnexport_attribute kAttributes[] = {
    {"window", ATTNEXPORT_INTEGER},      {"top_k", ATTNEXPORT_INTEGER},      {"causal", ATTNEXPORT_INTEGER},
    {"grid_height", ATTNEXPORT_INTEGER}, {"grid_width", ATTNEXPORT_INTEGER}, {"grid_radius", ATTNEXPORT_INTEGER},
    {"grid_metric", ATTNEXPORT_TEXT},    {"grid_prefix", ATTNEXPORT_INTEGER}};

template <class T>
struct KrauseRows {
    const T *sigma;
    bool per_head;
};

template <class T, bool kGeneral_>
struct Krause {
    static constexpr bool kSoftmax = true, kKeyNorms = true, kAdds = false, kGeneral = kGeneral_, kNear = true;
    static constexpr float kHidden = -INFINITY;
    using RowParams = KrauseRows<T>;

    struct Row {
        float scale;  // log2(e) / sigma^2
    };

    static __device__ __forceinline__ bool negates_queries(const RowParams &) { return false; }
    static __device__ __forceinline__ Row row(const RowParams &p, const Shape &, int, int head, int) {
        const float sigma = widen(p.sigma[p.per_head ? head : 0]);
        return Row{kLog2E / (sigma * sigma)};
    }

    // The product q.k is added to -|k|^2 / 2.
    static __device__ __forceinline__ float initial(float norm, const Row &) { return norm; }
    static __device__ __forceinline__ float score(float sum, const Row &) { return sum; }

    static __device__ __forceinline__ float exponent(float score, const Row &row) { return score * row.scale; }

    static __device__ __forceinline__ float exponent_minus(float score, float shift, const Row &row) {
        return fmaf(score, row.scale, -shift);
    }

    static __device__ __forceinline__ float normalise(float sum, const Row &) { return sum > 0.f ? 1.f / sum : 0.f; }
    static __device__ __forceinline__ float addend(const Row &, float) { return 0.f; }
    static __device__ __forceinline__ float value_sum(const Row &, int) { return 0.f; }
};

// Reads the neighbourhood; false when it does not fit the shape.
bool read_neighbourhood(const Call &call, const Shape &s, Neighbourhood *near) {
    const int64_t window = call.integer(kWindow), height = call.integer(kGridHeight), width = call.integer(kGridWidth);
    const int64_t radius = call.integer(kGridRadius), prefix = call.integer(kGridPrefix);
    if (window < 0 || height < 0 || width < 0 || radius < 0 || prefix < 0) return false;
    *near = Neighbourhood{static_cast<int>(std::min<int64_t>(window, INT_MAX / 4)), 0, 0, 0, false};
    if (height == 0) return true;
    const bool manhattan = std::strcmp(call.text(kGridMetric), "manhattan") == 0;
    if (!manhattan && std::strcmp(call.text(kGridMetric), "chebyshev") != 0) return false;
    if (window > 0 || width == 0 || height * width + prefix != s.keys || s.rows != s.keys) return false;
    near->grid_width = static_cast<int>(width);
    near->radius = static_cast<int>(std::min(radius, height + width));
    near->prefix = static_cast<int>(prefix);
    near->manhattan = manhattan;
    return true;
}

template <class T>
struct KrausePlan {
    ForwardParams<KrauseRows<T>, T> forward{};
    SelectParams select{};
    float *key_norms = nullptr;
    size_t bytes = 0;

    int prepare(const attnexport_call &raw, void *base) {
        const Call call(raw);
        Shape &s = forward.shape;
        const int status = call.read_shape(kQ, kK, kV, kLengths, call.integer(kCausal) != 0, &s);
        if (status != ATTNEXPORT_OK) return status;
        const bool per_head = call.has(kSigma) && call.tensor(kSigma).rank == 1;
        if (!(per_head ? call.matches(kSigma, s.heads) : call.matches(kSigma))) return ATTNEXPORT_INVALID;
        if (!read_neighbourhood(call, s, &forward.neighbourhood)) return ATTNEXPORT_INVALID;
        const int64_t top_k = call.integer(kTopKeys);
        if (top_k < 0) return ATTNEXPORT_INVALID;
        const bool selects = top_k > 0 && top_k < s.keys;
        if (!covers(s) || (selects && !kTopK)) return ATTNEXPORT_UNSUPPORTED;
        forward.q = call.data<T>(kQ);
        forward.k = call.data<T>(kK);
        forward.v = call.data<T>(kV);
        forward.out = call.output<T>();
        forward.row_params = {call.data<T>(kSigma), per_head};
        Workspace workspace(base);
        key_norms = workspace.take<float>(static_cast<size_t>(s.pairs()) * s.keys);
        take_split_workspace(workspace, forward);
        if (selects) select = take_select_workspace(workspace, forward, static_cast<int>(top_k));
        bytes = workspace.used();
        return ATTNEXPORT_OK;
    }

    int launch(const Device &device, cudaStream_t stream) {
        forward.splits = choose_splits_for<T>(forward, select, device);
        const Shape &s = forward.shape;
        int status = ATTNEXPORT_OK;
        forward.key_norms = select.wanted == 0 && fuses_norms<T>(s) ? nullptr : key_norms;
        if (forward.key_norms != nullptr) {
            const int64_t keys = static_cast<int64_t>(s.pairs()) * s.keys;
            status = launch_row_norms(forward.k, key_norms, keys, s.width, -0.5f, stream);
            if (status != ATTNEXPORT_OK) return status;
        }
        if (select.wanted == 0 && forward.neighbourhood.grid_width == 0)
            return launch_forward<Krause<T, false>>(forward, device, stream);
        if constexpr (kTopK) {
            if (select.wanted > 0) status = launch_select<Krause<T, true>>(forward, select, device, stream);
            if (status != ATTNEXPORT_OK) return status;
        }
        return launch_forward<Krause<T, true>>(forward, device, stream);
    }
};

const attnexport_op op = describe_plan<KrausePlan>("KrauseAttention", kInputs, kAttributes);
const Registration registration(op);

}  // namespace
}  // namespace attnexport
