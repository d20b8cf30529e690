// Top-N attention: softmax attention of which each row keeps its N largest weights.
#include <forward/launch.cuh>

namespace attnexport {
namespace {

enum Input { kQ, kK, kV, kLengths };
constexpr attnexport_input kInputs[] = {
    {"q", nullptr, 0}, {"k", nullptr, 0}, {"v", nullptr, 0}, {"kv_lengths", nullptr, 1}, {"q_start", nullptr, 1}};

enum Attribute { kCount, kScale, kRenormalize, kCausal };
constexpr attnexport_attribute kAttributes[] = {{"n", ATTNEXPORT_INTEGER},
                                                {"scale", ATTNEXPORT_NUMBER},
                                                {"renormalize", ATTNEXPORT_INTEGER},
                                                {"causal", ATTNEXPORT_INTEGER}};

struct TopN {
    static constexpr bool kSoftmax = true, kKeyNorms = false, kAdds = false, kGeneral = true, kNear = false;
    static constexpr float kHidden = -INFINITY;

    struct RowParams {
        float scale;  // times log2(e)
    };

    using Row = RowParams;

    static __device__ __forceinline__ bool negates_queries(const RowParams &) { return false; }
    static __device__ __forceinline__ Row row(const RowParams &p, const Shape &, int, int, int) { return p; }
    static __device__ __forceinline__ float initial(float, const Row &) { return 0.f; }
    static __device__ __forceinline__ float score(float dot, const Row &row) { return dot * row.scale; }
    static __device__ __forceinline__ float exponent(float score, const Row &) { return score; }
    static __device__ __forceinline__ float exponent_minus(float score, float shift, const Row &) {
        return score - shift;
    }
    static __device__ __forceinline__ float normalise(float sum, const Row &) { return sum > 0.f ? 1.f / sum : 0.f; }
    static __device__ __forceinline__ float addend(const Row &, float) { return 0.f; }
    static __device__ __forceinline__ float value_sum(const Row &, int) { return 0.f; }
};

template <class T>
struct TopNPlan {
    ForwardParams<TopN::RowParams, T> forward{};
    SelectParams select{};
    size_t bytes = 0;

    int prepare(const attnexport_call &raw, void *base) {
        const Call call(raw);
        Shape &s = forward.shape;
        const int status = call.read_shape(kQ, kK, kV, kLengths, call.integer(kCausal) != 0, &s);
        if (status != ATTNEXPORT_OK) return status;
        if (call.integer(kCount) < 1) return ATTNEXPORT_INVALID;
        const bool selects = call.integer(kCount) < s.keys;
        if (!covers(s) || (selects && !kTopK)) return ATTNEXPORT_UNSUPPORTED;
        forward.q = call.data<T>(kQ);
        forward.k = call.data<T>(kK);
        forward.v = call.data<T>(kV);
        forward.out = call.output<T>();
        forward.row_params = {call.number(kScale) * kLog2E};
        forward.normalise_over_all = call.integer(kRenormalize) == 0;
        Workspace workspace(base);
        take_split_workspace(workspace, forward);
        if (selects) select = take_select_workspace(workspace, forward, static_cast<int>(call.integer(kCount)));
        bytes = workspace.used();
        return ATTNEXPORT_OK;
    }

    int launch(const Device &device, cudaStream_t stream) {
        forward.splits = choose_splits_for<T>(forward, select, device);
        if constexpr (kTopK) {
            const int status = select.wanted > 0 ? launch_select<TopN>(forward, select, device, stream) : ATTNEXPORT_OK;
            if (status != ATTNEXPORT_OK) return status;
        }
        return launch_forward<TopN>(forward, device, stream);
    }
};

const attnexport_op op = describe_plan<TopNPlan>("TopNAttention", kInputs, kAttributes);
const Registration registration(op);

}  // namespace
}  // namespace attnexport
