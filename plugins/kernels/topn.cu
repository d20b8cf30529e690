// Top-N attention: softmax attention of which each row keeps its N largest weights.
#include <forward/plan.cuh>
#include <topn.cuh>

namespace attnexport {
namespace {

enum Attribute { kCount, kScale, kRenormalize, kCausal };
constexpr attnexport_attribute kAttributes[] = {{"n", ATTNEXPORT_INTEGER},
                                                {"scale", ATTNEXPORT_NUMBER},
                                                {"renormalize", ATTNEXPORT_INTEGER},
                                                {"causal", ATTNEXPORT_INTEGER}};

template <class T>
struct TopNPlan : ForwardPlan<T, TopN> {
    int prepare(const attnexport_call &raw, void *base) {
        const Call call(raw);
        if (call.integer(kCount) < 1) return ATTNEXPORT_INVALID;
        this->forward.row_params = {call.number(kScale) * kLog2E};
        this->forward.normalise_over_all = call.integer(kRenormalize) == 0;
        return this->prepare_plain(call, call.integer(kCausal) != 0, base, call.integer(kCount));
    }
};

const attnexport_op op = describe_plan<TopNPlan>("TopNAttention", kPlainInputs, kAttributes);
const Registration registration(op);

}  // namespace
}  // namespace attnexport
