// Sigmoid attention: every pair of tokens is weighed by itself, without a softmax.
#include <forward/plan.cuh>

namespace attnexport {
namespace {

enum Attribute { kScale, kBias, kCausal };
constexpr attnexport_attribute kAttributes[] = {
    {"scale", ATTNEXPORT_NUMBER}, {"bias", ATTNEXPORT_NUMBER}, {"causal", ATTNEXPORT_INTEGER}};

struct SigmoidRow {
    float scale, bias;  // times log2(e)
};

struct Sigmoid : WeightHooks<SigmoidRow> {
    static __device__ __forceinline__ float score(float dot, const Row &row) {
        return 1.f / (1.f + exp2_fast(-fmaf(dot, row.scale, row.bias)));
    }
};

template <class T>
struct SigmoidPlan : ForwardPlan<T, Sigmoid> {
    int prepare(const attnexport_call &raw, void *base) {
        const Call call(raw);
        this->forward.row_params = {call.number(kScale) * kLog2E, call.number(kBias) * kLog2E};
        return this->prepare_plain(call, call.integer(kCausal) != 0, base);
    }
};

const attnexport_op op = describe_plan<SigmoidPlan>("SigmoidAttention", kPlainInputs, kAttributes);
const Registration registration(op);

}  // namespace
}  // namespace attnexport
