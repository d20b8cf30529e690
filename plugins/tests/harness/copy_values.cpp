// Two small operators on host memory, so that the adapters can be tested without the kernels and without a GPU.
//
// CopyValues: out[b, h, i] = v[b, h / (H / Hkv), i mod length_b], or counted from the end with order "reversed".
// CopyPlainValues: the same without attributes.
#include <common/call.h>
#include <common/registry.h>
#include <common/workspace.h>

#include <cstring>

namespace attnexport {
namespace {

constexpr attnexport_input kPlainInputs[] = {
    {"q", nullptr, 0}, {"k", nullptr, 0}, {"v", nullptr, 0}, {"kv_lengths", nullptr, 1}, {"q_start", nullptr, 1}};

constexpr attnexport_input kInputs[] = {{"q", nullptr, 0},      {"k", nullptr, 0},     {"extras", "num_extras", 0},
                                        {"v", nullptr, 0},      {"sigma", nullptr, 0}, {"kv_lengths", nullptr, 1},
                                        {"q_start", nullptr, 1}};
constexpr attnexport_attribute kAttributes[] = {{"num_extras", ATTNEXPORT_INTEGER},
                                                {"causal", ATTNEXPORT_INTEGER},
                                                {"scale", ATTNEXPORT_NUMBER},
                                                {"order", ATTNEXPORT_TEXT}};

constexpr int kLongest = 4096;

int element_size(int dtype) { return dtype == ATTNEXPORT_FLOAT32 ? 4 : 2; }

struct Plan {
    Shape shape;
    int *lengths;
    size_t bytes;
};

int make_plan(const Call &call, int value, int lengths, void *base, Plan *plan) {
    const int status = call.read_shape(0, 1, value, lengths, false, &plan->shape);
    if (status != ATTNEXPORT_OK) return status;
    if (plan->shape.rows > kLongest || plan->shape.keys > kLongest) return ATTNEXPORT_UNSUPPORTED;
    Workspace workspace(base);
    plan->lengths = workspace.take<int>(static_cast<size_t>(plan->shape.batch) * 64);
    plan->bytes = workspace.used();
    return ATTNEXPORT_OK;
}

void copy(const Plan &plan, const unsigned char *values, unsigned char *out, bool reversed) {
    const Shape &s = plan.shape;
    const int group = s.heads / s.kv_heads;
    const size_t row_bytes = static_cast<size_t>(s.value_width) * element_size(s.dtype);
    for (int b = 0; b < s.batch; ++b) plan.lengths[b] = s.kv_lengths == nullptr ? s.keys : s.kv_lengths[b];
    for (int b = 0; b < s.batch; ++b)
        for (int h = 0; h < s.heads; ++h)
            for (int i = 0; i < s.rows; ++i, out += row_bytes) {
                const int length = plan.lengths[b];
                if (length == 0) {
                    std::memset(out, 0, row_bytes);
                    continue;
                }
                const int j = reversed ? length - 1 - i % length : i % length;
                const size_t row = (static_cast<size_t>(b) * s.kv_heads + h / group) * s.keys + j;
                std::memcpy(out, values + row * row_bytes, row_bytes);
            }
}

int run(const Call &call, int value, int lengths, bool reversed, void *base, size_t size) {
    Plan plan{};
    const int status = make_plan(call, value, lengths, base, &plan);
    if (status != ATTNEXPORT_OK) return status;
    if (plan.bytes > size) return ATTNEXPORT_WORKSPACE_TOO_SMALL;
    copy(plan, call.data<unsigned char>(value), call.output<unsigned char>(), reversed);
    return ATTNEXPORT_OK;
}

int plain_workspace(const attnexport_call *given, size_t *bytes) {
    Plan plan{};
    const int status = make_plan(Call(*given), 2, 3, nullptr, &plan);
    *bytes = plan.bytes;
    return status;
}

int plain_launch(const attnexport_call *given, void *workspace, size_t size, void *) {
    return run(Call(*given), 2, 3, false, workspace, size);
}

int workspace(const attnexport_call *given, size_t *bytes) {
    const Call call(*given);
    const int value = 2 + static_cast<int>(call.integer(0));
    if (!call.has(value + 1) || call.tensor(value + 1).rank != 0) return ATTNEXPORT_INVALID;
    if (std::strcmp(call.text(3), "forward") != 0 && std::strcmp(call.text(3), "reversed") != 0)
        return ATTNEXPORT_UNSUPPORTED;
    Plan plan{};
    const int status = make_plan(call, value, value + 2, nullptr, &plan);
    *bytes = plan.bytes;
    return status;
}

int launch(const attnexport_call *given, void *workspace, size_t size, void *) {
    const Call call(*given);
    const int value = 2 + static_cast<int>(call.integer(0));
    return run(call, value, value + 2, std::strcmp(call.text(3), "reversed") == 0, workspace, size);
}

constexpr attnexport_op kCopyValues = describe("CopyValues", kInputs, kAttributes, workspace, launch);
constexpr attnexport_op kCopyPlainValues{"CopyPlainValues", kPlainInputs,    5,           nullptr, 0,
                                         kDtypes,           plain_workspace, plain_launch};

const Registration registered(kCopyValues), registered_plain(kCopyPlainValues);

}  // namespace
}  // namespace attnexport
