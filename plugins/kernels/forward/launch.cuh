// Chooses the instantiations that serve a shape on a device, lays out their workspace and launches them.
#pragma once

#include <common/call.h>
#include <common/dispatch.h>
#include <common/registry.h>
#include <common/workspace.h>
#include <forward/splits.cuh>
#include <selection/stream_select.cuh>

namespace attnexport {

inline bool covers(const Shape &s) {
    return s.width >= 1 && s.value_width >= 1 && std::max(s.width, s.value_width) <= kMaxWidth;
}

// Whether the kernel that serves this shape computes the keys' norms on the way.
template <class T>
bool fuses_norms(const Shape &s) {
    return uses_tensor_cores<T>(s) && s.group_rows() <= kFewRows;
}

// Whether it gathers the sum of the visible values on the way: a row of its tile is free, and all rows see the same
// keys.
template <class T>
bool fuses_value_sums(const Shape &s, int splits) {
    return splits > 1 && uses_tensor_cores<T>(s) && s.rows == 1 && s.group_rows() < kFewRows;
}

// Takes what split keys need; p.splits is chosen at the launch.
template <class RowParams, class T>
void take_split_workspace(Workspace &workspace, ForwardParams<RowParams, T> &p) {
    p.partial_sums = workspace.take<float>(most_split_parts(p.shape) * p.shape.value_width);
    p.partial_states = workspace.take<float2>(most_split_parts(p.shape));
}

// Takes what a selection needs.
template <class RowParams, class T>
SelectParams take_select_workspace(Workspace &workspace, ForwardParams<RowParams, T> &p, int wanted) {
    SelectParams select{};
    select.wanted = wanted;
    select.thresholds = workspace.take<Threshold>(total_rows(p.shape));
    select.bins = workspace.take<int>(most_split_rows(p.shape) * kBins);
    select.states = workspace.take<SelectionState>(most_split_rows(p.shape));
    p.thresholds = select.thresholds;
    return select;
}

template <class T, class RowParams>
int choose_splits_for(const ForwardParams<RowParams, T> &p, const SelectParams &select, const Device &device) {
    return select.wanted > 0 ? choose_select_splits<T>(p.shape, p.neighbourhood.window, device)
                             : choose_splits<T>(p.shape, p.neighbourhood.window, device);
}

template <class Kernel, class... Args>
int launch_rows(Kernel kernel, size_t shared, int block_rows, int threads, const Shape &s, int splits,
                cudaStream_t stream, Args... args) {
    if (cudaFuncSetAttribute(reinterpret_cast<const void *>(kernel), cudaFuncAttributeMaxDynamicSharedMemorySize,
                             static_cast<int>(shared)) != cudaSuccess)
        return ATTNEXPORT_CUDA_ERROR;
    const dim3 grid((s.group_rows() + block_rows - 1) / block_rows, s.pairs(), splits);
    return launch_kernel(kernel, grid, dim3(threads), shared, stream, args...) == cudaSuccess ? ATTNEXPORT_OK
                                                                                              : ATTNEXPORT_CUDA_ERROR;
}

template <class Variant, class T, class Config>
struct TensorCoreForward {
    static constexpr size_t bytes = Config::template shared_bytes<T>();

    static int launch(const ParamsOf<Variant, T> &p, cudaStream_t stream) {
        return launch_rows(attention_forward<Variant, T, Config>, bytes, Config::kRows, Config::kThreads, p.shape,
                           p.splits, stream, p);
    }
};

template <class Variant, class T, class Config>
struct TensorCoreSelect {
    static constexpr size_t bytes = select_shared_bytes<Variant, T, Config>;

    static int launch(const ParamsOf<Variant, T> &p, cudaStream_t stream, const SelectParams &select) {
        return launch_rows(select_rows<Variant, T, Config>, bytes, Config::kRows, Config::kThreads, p.shape, p.splits,
                           stream, p, select);
    }
};

template <class Variant, class T, class Config>
struct StreamSelect {
    static constexpr size_t bytes = stream_select_shared_bytes<Variant, T, Config>;

    static int launch(const ParamsOf<Variant, T> &p, cudaStream_t stream, const SelectParams &select) {
        return launch_rows(stream_select<Variant, T, Config>, bytes, Config::kRows, Config::kThreads, p.shape, 1,
                           stream, p, select.thresholds, select.wanted);
    }
};

template <class Variant, class T, class Config>
struct SimtForward {
    static constexpr size_t bytes = simt_shared_bytes<Config>();

    static int launch(const ParamsOf<Variant, T> &p, cudaStream_t stream) {
        return launch_rows(attention_forward_simt<Variant, T, Config>, bytes, Config::kRows, Config::kThreads, p.shape,
                           p.splits, stream, p);
    }
};

template <class Variant, class T, class Config>
struct SimtSelect {
    static constexpr size_t bytes = simt_select_shared_bytes<Config>();

    static int launch(const ParamsOf<Variant, T> &p, cudaStream_t stream, const SelectParams &select) {
        return launch_rows(select_rows_simt<Variant, T, Config>, bytes, Config::kRows, Config::kThreads, p.shape,
                           p.splits, stream, p, select);
    }
};

// The first of several kernels of which a multiprocessor holds this many blocks.
template <class... Kernels, class... Args>
int launch_resident(int blocks, const Device &device, Args... args) {
    int status = ATTNEXPORT_UNSUPPORTED;
    ((device.resident_blocks(Kernels::bytes) >= blocks && (status = Kernels::launch(args...), true)) || ...);
    return status;
}

// The first of several kernels whose shared memory the device has.
template <class... Kernels, class... Args>
int launch_fitting(const Device &device, Args... args) {
    return launch_resident<Kernels...>(1, device, args...);
}

// The first of several kernels of which two blocks share a multiprocessor; else the first that fits.
template <class... Kernels, class... Args>
int launch_sharing(const Device &device, Args... args) {
    const bool any = ((device.resident_blocks(Kernels::bytes) >= 2) || ...);
    return launch_resident<Kernels...>(any ? 2 : 1, device, args...);
}

// The kernel of the smallest instantiated width that holds the call's. Kernel<Variant, T, SimtConfig<...>>.
template <template <class, class, class> class Kernel, class Variant, class T, int kRowsOfNarrow, int kRowsOfWide,
          class... Args>
int launch_simt(const Shape &s, const Device &device, Args... args) {
    // 16-bit types come here only with odd widths: the widest instantiation is enough for them.
    constexpr bool kWidest = sizeof(T) == 2;
    const int width = std::max(s.width, s.value_width);
    const bool few = s.group_rows() <= kFewRows;
    if constexpr (kMaxWidth > 128)
        if (kWidest || width > 128)
            return few ? launch_fitting<Kernel<Variant, T, SimtConfig<256, 1>>>(device, args...)
                       : launch_fitting<Kernel<Variant, T, SimtConfig<256, kRowsOfWide>>>(device, args...);
    if constexpr (kMaxWidth > 64 && !(kWidest && kMaxWidth > 128))
        if (kWidest || width > 64)
            return few ? launch_fitting<Kernel<Variant, T, SimtConfig<128, 1>>>(device, args...)
                       : launch_fitting<Kernel<Variant, T, SimtConfig<128, kRowsOfNarrow>>>(device, args...);
    if constexpr (!(kWidest && kMaxWidth > 64))
        return few ? launch_fitting<Kernel<Variant, T, SimtConfig<64, 1>>>(device, args...)
                   : launch_fitting<Kernel<Variant, T, SimtConfig<64, kRowsOfNarrow>>>(device, args...);
    return ATTNEXPORT_UNSUPPORTED;
}

template <class Variant, class T, int kWidth>
int launch_forward_of_width(const ParamsOf<Variant, T> &p, const Device &device, cudaStream_t stream) {
    constexpr bool kGeneral = Variant::kGeneral;
    if (p.shape.group_rows() <= kFewRows)
        return launch_fitting<TensorCoreForward<Variant, T, FewRows<kWidth>>>(device, p, stream);
    return launch_sharing<TensorCoreForward<Variant, T, ManyRows<kWidth, kGeneral, 2>>,
                          TensorCoreForward<Variant, T, ManyRows<kWidth, kGeneral, 1>>>(device, p, stream);
}

template <class Variant, class T>
int launch_tensor_core_forward(const ParamsOf<Variant, T> &p, const Device &device, cudaStream_t stream) {
    const int width = std::max(p.shape.width, p.shape.value_width);
    if constexpr (kMaxWidth > 128)
        if (width > 128) return launch_forward_of_width<Variant, T, 256>(p, device, stream);
    if constexpr (kMaxWidth > 64)
        if (width > 64) return launch_forward_of_width<Variant, T, 128>(p, device, stream);
    return launch_forward_of_width<Variant, T, 64>(p, device, stream);
}

template <class Variant, class T>
int launch_tensor_core_select(const ParamsOf<Variant, T> &p, const Device &device, cudaStream_t stream,
                              const SelectParams &select) {
    const int width = std::max(p.shape.width, p.shape.value_width);
    const bool few = p.shape.group_rows() <= kFewRows;
    if constexpr (kMaxWidth > 128)
        if (width > 128)
            return few ? launch_fitting<TensorCoreSelect<Variant, T, ForwardConfig<256, 1, 1, 32>>>(device, p, stream,
                                                                                                    select)
                       : launch_fitting<TensorCoreSelect<Variant, T, ForwardConfig<256, 1, 2, 32>>>(device, p, stream,
                                                                                                    select);
    if constexpr (kMaxWidth > 64)
        if (width > 64)
            return few ? launch_fitting<TensorCoreSelect<Variant, T, ForwardConfig<128, 1, 1, 64>>>(device, p, stream,
                                                                                                    select)
                       : launch_fitting<TensorCoreSelect<Variant, T, ForwardConfig<128, 1, 4, 32>>,
                                        TensorCoreSelect<Variant, T, ForwardConfig<128, 1, 2, 32>>>(device, p, stream,
                                                                                                    select);
    return few ? launch_fitting<TensorCoreSelect<Variant, T, ForwardConfig<64, 1, 1, 64>>>(device, p, stream, select)
               : launch_fitting<TensorCoreSelect<Variant, T, ForwardConfig<64, 1, 4, 64>>>(device, p, stream, select);
}

constexpr int kRowWarps = 4;

inline dim3 warp_per_row(const Shape &s) {
    return dim3(static_cast<unsigned>((total_rows(s) + kRowWarps - 1) / kRowWarps));
}

// Whether one pass through lists is the faster way: for whole rows and small k, unless a window leaves so few keys that
// the counters of select_rows.cuh collect them all at once.
template <class RowParams, class T>
bool streams_selection(const ForwardParams<RowParams, T> &p, int wanted) {
    const int64_t window = p.neighbourhood.window;
    const bool few_keys = window > 0 && (p.shape.causal ? window : 2 * window - 1) <= kBins;
    return p.splits <= 1 && wanted <= kMostStreamed && !few_keys;
}

template <class Variant, class T>
int launch_stream_select(const ParamsOf<Variant, T> &p, const Device &device, cudaStream_t stream,
                         const SelectParams &select) {
    const int width = std::max(p.shape.width, p.shape.value_width);
    if constexpr (kMaxWidth > 128)
        if (width > 128)
            return launch_fitting<StreamSelect<Variant, T, ForwardConfig<256, 1, 4, 32>>,
                                  StreamSelect<Variant, T, ForwardConfig<256, 1, 2, 32>>>(device, p, stream, select);
    if constexpr (kMaxWidth > 64)
        if (width > 64)
            return launch_fitting<StreamSelect<Variant, T, ForwardConfig<128, 1, 4, 64>>,
                                  StreamSelect<Variant, T, ForwardConfig<128, 1, 2, 64>>>(device, p, stream, select);
    return launch_fitting<StreamSelect<Variant, T, ForwardConfig<64, 1, 4, 64>>>(device, p, stream, select);
}

template <class Variant, class T>
int launch_one_select(const ParamsOf<Variant, T> &p, const SelectParams &select, const Device &device,
                      cudaStream_t stream) {
    if constexpr (sizeof(T) == 2)
        if (uses_tensor_cores<T>(p.shape)) {
            return streams_selection(p, select.wanted) ? launch_stream_select<Variant>(p, device, stream, select)
                                                       : launch_tensor_core_select<Variant>(p, device, stream, select);
        }
    return launch_simt<SimtSelect, Variant, T, 2, 2>(p.shape, device, p, stream, select);
}

// Fills select.thresholds, which p.thresholds points to.
template <class Variant, class T>
int launch_select(const ParamsOf<Variant, T> &p, SelectParams select, const Device &device, cudaStream_t stream) {
    if (total_rows(p.shape) == 0) return ATTNEXPORT_OK;
    if (p.splits <= 1) return launch_one_select<Variant>(p, select, device, stream);
    const Digits digits(p.shape.keys);
    for (select.pass = 0; select.pass < kDigits; select.pass = digits.after(select.pass)) {
        if (cudaMemsetAsync(select.bins, 0, total_rows(p.shape) * kBins * sizeof(int), stream) != cudaSuccess)
            return ATTNEXPORT_CUDA_ERROR;
        const int status = launch_one_select<Variant>(p, select, device, stream);
        if (status != ATTNEXPORT_OK) return status;
        const int64_t rows = static_cast<int64_t>(total_rows(p.shape));
        if (launch_kernel(pick_rows, warp_per_row(p.shape), dim3(kRowWarps * 32), 0, stream, select, rows,
                          p.shape.keys) != cudaSuccess)
            return ATTNEXPORT_CUDA_ERROR;
    }
    return ATTNEXPORT_OK;
}

template <class Variant, class T>
int launch_one_forward(const ParamsOf<Variant, T> &p, const Device &device, cudaStream_t stream) {
    if constexpr (sizeof(T) == 2)
        if (uses_tensor_cores<T>(p.shape)) return launch_tensor_core_forward<Variant>(p, device, stream);
    return launch_simt<SimtForward, Variant, T, 4, 2>(p.shape, device, p, stream);
}

template <class Variant, class T>
int launch_forward(const ParamsOf<Variant, T> &p, const Device &device, cudaStream_t stream) {
    if (total_rows(p.shape) == 0) return ATTNEXPORT_OK;
    const int status = launch_one_forward<Variant>(p, device, stream);
    if (status != ATTNEXPORT_OK || p.splits <= 1) return status;
    const size_t warps = total_rows(p.shape) * combine_warps_per_row(p.shape);
    const dim3 grid(static_cast<unsigned>((warps + kRowWarps - 1) / kRowWarps));
    return launch_kernel(combine_splits<Variant, T>, grid, dim3(kRowWarps * 32), 0, stream, p) == cudaSuccess
               ? ATTNEXPORT_OK
               : ATTNEXPORT_CUDA_ERROR;
}

// A variant's Plan<T> reads a call and lays out its workspace at `base` (null: only to ask its size, `bytes`).
// Every file's Plan has a name of its own: g++ does not tell templates of unnamed namespaces apart.
template <template <class> class Plan>
int plan_workspace(const attnexport_call *call, size_t *bytes) {
    if (call->num_inputs < 1) return ATTNEXPORT_INVALID;
    return for_dtype(call->inputs[0].dtype, [&](auto type) {
        Plan<decltype(type)> plan;
        const int status = plan.prepare(*call, nullptr);
        *bytes = plan.bytes;
        return status;
    });
}

template <template <class> class Plan>
int plan_and_launch(const attnexport_call *call, void *workspace, size_t available, void *stream) {
    if (call->num_inputs < 1) return ATTNEXPORT_INVALID;
    return for_dtype(call->inputs[0].dtype, [&](auto type) -> int {
        Plan<decltype(type)> plan;
        const int status = plan.prepare(*call, workspace);
        if (status != ATTNEXPORT_OK) return status;
        if (plan.bytes > available) return ATTNEXPORT_WORKSPACE_TOO_SMALL;
        return plan.launch(Device::current(), static_cast<cudaStream_t>(stream));
    });
}

template <template <class> class Plan, int kInputs, int kAttributes>
constexpr attnexport_op describe_plan(const char *name, const attnexport_input (&inputs)[kInputs],
                                      const attnexport_attribute (&attributes)[kAttributes]) {
    return describe(name, inputs, attributes, plan_workspace<Plan>, plan_and_launch<Plan>);
}

}  // namespace attnexport
