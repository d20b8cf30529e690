// Krause attention: softmax of (q.k - |k|^2 / 2) / sigma^2 over the visible keys of a window or grid, or the top-k of
// them.
#include <forward/plan.cuh>
#include <krause.cuh>

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
struct KrausePlan : ForwardPlan<T, Krause<T, false>, Krause<T, true>> {
    int prepare(const attnexport_call &raw, void *base) {
        const Call call(raw);
        const int status = this->read(call, {kQ, kK, kV, kLengths}, call.integer(kCausal) != 0);
        if (status != ATTNEXPORT_OK) return status;
        const Shape &s = this->forward.shape;
        const bool per_head = call.has(kSigma) && call.tensor(kSigma).rank == 1;
        if (!(per_head ? call.matches(kSigma, s.heads) : call.matches(kSigma))) return ATTNEXPORT_INVALID;
        if (!read_neighbourhood(call, s, &this->forward.neighbourhood)) return ATTNEXPORT_INVALID;
        if (call.integer(kTopKeys) < 0) return ATTNEXPORT_INVALID;
        this->forward.row_params = {call.data<T>(kSigma), per_head};
        Workspace workspace(base);
        return this->take_workspace(workspace, call.integer(kTopKeys));
    }
};

const attnexport_op op = describe_plan<KrausePlan>("KrauseAttention", kInputs, kAttributes);
const Registration registration(op);

}  // namespace
}  // namespace attnexport
