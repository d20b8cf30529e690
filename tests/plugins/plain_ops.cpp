// Two operators as plain loops over float32: a library of the C interface without kernels, for the binding's tests.
#include <common/registry.h>

#include <cmath>
#include <vector>

namespace {

int ask(const attnexport_call *, size_t *bytes) {
    *bytes = 1000;
    return ATTNEXPORT_OK;
}

const float *floats(const attnexport_tensor &tensor) { return static_cast<const float *>(tensor.data); }

bool misplaced(const void *workspace, size_t bytes) {
    return reinterpret_cast<uintptr_t>(workspace) % 256 != 0 || bytes < 1000;
}

int length(const attnexport_call &call, int input, int batch, int64_t keys) {
    return input < call.num_inputs ? static_cast<const int *>(call.inputs[input].data)[batch] : static_cast<int>(keys);
}

const attnexport_input affine_inputs[] = {{"q", nullptr, 0},      {"k", nullptr, 0},    {"v", nullptr, 0},
                                          {"alpha", nullptr, 0},  {"beta", nullptr, 0}, {"kv_lengths", nullptr, 1},
                                          {"q_start", nullptr, 1}};
const attnexport_attribute affine_attributes[] = {{"scale", ATTNEXPORT_NUMBER}, {"causal", ATTNEXPORT_INTEGER}};

int affine(const attnexport_call *call, void *workspace, size_t bytes, void *) {
    const attnexport_tensor &q = call->inputs[0], &v = call->inputs[2];
    const int64_t heads = q.dims[1], rows = q.dims[2], width = q.dims[3];
    const int64_t kv_heads = v.dims[1], keys = v.dims[2], value_width = v.dims[3];
    if (misplaced(workspace, bytes)) return ATTNEXPORT_WORKSPACE_TOO_SMALL;
    if (call->attributes[1].integer != 0) return ATTNEXPORT_UNSUPPORTED;
    if (rows == 13) return ATTNEXPORT_CUDA_ERROR;
    float *out = static_cast<float *>(call->output);
    for (int64_t row = 0; row < q.dims[0] * heads * rows; ++row) {
        const int64_t batch = row / (heads * rows), head = row / rows % heads;
        const int64_t first = (batch * kv_heads + head / (heads / kv_heads)) * keys;
        std::vector<double> mean(value_width), sum(value_width);
        double total = 0;
        for (int64_t key = first; key < first + length(*call, 5, batch, keys); ++key) {
            double dot = 0;
            for (int64_t at = 0; at < width; ++at)
                dot += floats(q)[row * width + at] * floats(call->inputs[1])[key * width + at];
            const double weight = std::exp(call->attributes[0].number * dot);
            total += weight;
            for (int64_t at = 0; at < value_width; ++at) {
                mean[at] += weight * floats(v)[key * value_width + at];
                sum[at] += floats(v)[key * value_width + at];
            }
        }
        for (int64_t at = 0; at < value_width; ++at)
            out[row * value_width + at] =
                static_cast<float>(floats(call->inputs[3])[row] * (total > 0 ? mean[at] / total : 0) +
                                   floats(call->inputs[4])[row] * sum[at]);
    }
    return ATTNEXPORT_OK;
}

const attnexport_input hadamard_inputs[] = {{"query_factors", "num_query_factors", 0},
                                            {"key_factors", "num_key_factors", 0},
                                            {"v", nullptr, 0},
                                            {"kv_lengths", nullptr, 1},
                                            {"q_start", nullptr, 1}};
const attnexport_attribute hadamard_attributes[] = {{"num_query_factors", ATTNEXPORT_INTEGER},
                                                    {"num_key_factors", ATTNEXPORT_INTEGER},
                                                    {"causal", ATTNEXPORT_INTEGER},
                                                    {"eps", ATTNEXPORT_NUMBER}};

// Causal or not by q_start, which has kv_lengths before it.
int hadamard(const attnexport_call *call, void *workspace, size_t bytes, void *) {
    const int factors = static_cast<int>(call->attributes[0].integer);
    const attnexport_tensor &q = call->inputs[0], &v = call->inputs[2 * factors];
    const int64_t heads = q.dims[1], rows = q.dims[2];
    const int64_t kv_heads = v.dims[1], keys = v.dims[2], value_width = v.dims[3];
    if (misplaced(workspace, bytes)) return ATTNEXPORT_WORKSPACE_TOO_SMALL;
    float *out = static_cast<float *>(call->output);
    for (int64_t row = 0; row < q.dims[0] * heads * rows; ++row) {
        const int64_t batch = row / (heads * rows), head = row / rows % heads;
        const int64_t first = (batch * kv_heads + head / (heads / kv_heads)) * keys;
        const int64_t start = length(*call, 2 * factors + 2, batch, keys - rows);
        int64_t count = length(*call, 2 * factors + 1, batch, keys);
        if (call->attributes[2].integer != 0 && start + row % rows + 1 < count) count = start + row % rows + 1;
        std::vector<double> sum(value_width);
        double total = 0;
        for (int64_t key = first; key < first + count; ++key) {
            double weight = 1;
            for (int factor = 0; factor < factors; ++factor) {
                const int64_t width = call->inputs[factor].dims[3];
                double dot = 0;
                for (int64_t at = 0; at < width; ++at)
                    dot += floats(call->inputs[factor])[row * width + at] *
                           floats(call->inputs[factors + factor])[key * width + at];
                weight *= dot;
            }
            total += weight;
            for (int64_t at = 0; at < value_width; ++at) sum[at] += weight * floats(v)[key * value_width + at];
        }
        for (int64_t at = 0; at < value_width; ++at)
            out[row * value_width + at] = static_cast<float>(sum[at] / (total + call->attributes[3].number));
    }
    return ATTNEXPORT_OK;
}

constexpr attnexport_op affine_op =
    attnexport::describe("AffineScaledAttention", affine_inputs, affine_attributes, ask, affine);
constexpr attnexport_op hadamard_op =
    attnexport::describe("HadamardLinearAttention", hadamard_inputs, hadamard_attributes, ask, hadamard);
const attnexport::Registration registrations[] = {attnexport::Registration(affine_op),
                                                  attnexport::Registration(hadamard_op)};

}  // namespace
