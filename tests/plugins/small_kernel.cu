// A kernel that fills the output with 1: an operator that compiles in a second, for the tests of building.
#include <common/registry.h>

#include <cuda_runtime.h>

namespace {

__global__ void fill(float *out, int64_t count) {
    const int64_t at = blockIdx.x * static_cast<int64_t>(blockDim.x) + threadIdx.x;
    if (at < count) out[at] = 1.f;
}

const attnexport_input inputs[] = {{"q", nullptr, 0},     {"k", nullptr, 0},          {"v", nullptr, 0},
                                   {"sigma", nullptr, 0}, {"kv_lengths", nullptr, 1}, {"q_start", nullptr, 1}};
const attnexport_attribute attributes[] = {{"window", ATTNEXPORT_INTEGER}, {"grid_metric", ATTNEXPORT_TEXT}};

int workspace(const attnexport_call *, size_t *bytes) {
    *bytes = 0;
    return ATTNEXPORT_OK;
}

int launch(const attnexport_call *call, void *, size_t, void *stream) {
    const int64_t *rows = call->inputs[0].dims;
    const int64_t count = rows[0] * rows[1] * rows[2] * call->inputs[2].dims[3];
    fill<<<static_cast<unsigned>((count + 255) / 256), 256, 0, static_cast<cudaStream_t>(stream)>>>(
        static_cast<float *>(call->output), count);
    return cudaGetLastError() == cudaSuccess ? ATTNEXPORT_OK : ATTNEXPORT_CUDA_ERROR;
}

constexpr attnexport_op op = attnexport::describe("KrauseAttention", inputs, attributes, workspace, launch);
const attnexport::Registration registration(op);

}  // namespace
