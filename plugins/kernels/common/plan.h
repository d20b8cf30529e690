// From an operator's calls to its Plan, which reads a call, lays out its workspace and launches it.
#pragma once

#include <common/call.h>
#include <common/device.h>
#include <common/dispatch.h>
#include <common/registry.h>
#include <common/samples.h>
#include <common/workspace.h>

namespace attnexport {

// Whether everything begins where pieces of 16 bytes can be copied.
inline bool is_aligned(const attnexport_call &call, const void *workspace) {
    const auto fits = [](const void *data) { return reinterpret_cast<uintptr_t>(data) % 16 == 0; };
    for (int input = 0; input < call.num_inputs; ++input)
        if (call.inputs[input].rank == 4 && !fits(call.inputs[input].data)) return false;
    return fits(call.output) && fits(workspace);
}

// A Plan<T> has prepare(call, base), which lays out the workspace at `base` (null: only to ask its size, `bytes`),
// shape() and launch(device, stream). Every file's Plan has a name of its own: g++ does not tell templates of unnamed
// namespaces apart.
template <template <class> class Plan>
int plan_workspace(const attnexport_call *call, size_t *bytes) {
    if (call->num_inputs < 1) return ATTNEXPORT_INVALID;
    return for_dtype(call->inputs[0].dtype, [&](auto type) {
        Plan<decltype(type)> plan;
        const int status = plan.prepare(Samples(*call).call(), nullptr);
        *bytes = plan.bytes;
        return status;
    });
}

template <template <class> class Plan>
int plan_and_launch(const attnexport_call *call, void *workspace, size_t available, void *stream) {
    if (call->num_inputs < 1) return ATTNEXPORT_INVALID;
    return for_dtype(call->inputs[0].dtype, [&](auto type) -> int {
        Device device{};
        for (Samples samples(*call);;) {
            Plan<decltype(type)> plan;
            const int status = plan.prepare(samples.call(), workspace);
            if (status != ATTNEXPORT_OK) return status;
            if (plan.bytes > available) return ATTNEXPORT_WORKSPACE_TOO_SMALL;
            if (!is_aligned(samples.call(), workspace)) return ATTNEXPORT_UNALIGNED;
            if (device.multiprocessors == 0 && !Device::current(&device)) return ATTNEXPORT_CUDA_ERROR;
            const int launched = plan.launch(device, static_cast<cudaStream_t>(stream));
            if (launched != ATTNEXPORT_OK || samples.are_last()) return launched;
            samples.advance(plan.shape(), sizeof(type));
        }
    });
}

template <template <class> class Plan, int kInputs, int kAttributes>
constexpr attnexport_op describe_plan(const char *name, const attnexport_input (&inputs)[kInputs],
                                      const attnexport_attribute (&attributes)[kAttributes]) {
    return describe(name, inputs, attributes, plan_workspace<Plan>, plan_and_launch<Plan>);
}

}  // namespace attnexport
