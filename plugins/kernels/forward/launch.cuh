// Chooses the instantiation of the forward kernel that serves a shape on a device, and launches it.
#pragma once

#include <sm90/path.h>
#include <forward/attention_forward.cuh>
#include <forward/splits.cuh>

namespace attnexport {

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

template <class Variant, class T, class Config>
struct TensorCoreForward {
    static constexpr size_t bytes = Config::template shared_bytes<T>();

    static int launch(const ParamsOf<Variant, T> &p, cudaStream_t stream) {
        return launch_rows(attention_forward<Variant, T, Config>, bytes, Config::kRows, Config::kThreads, p.shape,
                           p.splits, stream, p);
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

// Calls f with the instantiated width that serves a shape without tensor cores. 16-bit types come there only with odd
// widths: the widest instantiation is enough for them.
template <class T, class F>
int for_simt_width(const Shape &s, F f) {
    if constexpr (sizeof(T) == 2)
        return f(std::integral_constant<int, (kMaxWidth > 128 ? 256 : kMaxWidth > 64 ? 128 : 64)>{});
    else
        return for_width(std::max(s.width, s.value_width), f);
}

template <class Variant, class T>
int launch_one_forward(const ParamsOf<Variant, T> &p, const Device &device, cudaStream_t stream) {
    if (sm90::Path<Variant, T>::serves(p, device)) return sm90::Path<Variant, T>::launch(p, device, stream);
    const bool few = p.shape.group_rows() <= kFewRows;
    if constexpr (sizeof(T) == 2)
        if (uses_tensor_cores<T>(p.shape))
            return for_width(std::max(p.shape.width, p.shape.value_width), [&](auto width) {
                constexpr bool kGeneral = Variant::kGeneral;
                using TwoStages = TensorCoreForward<Variant, T, ManyRows<width, kGeneral, 2>>;
                if (few) return launch_fitting<TensorCoreForward<Variant, T, FewRows<width>>>(device, p, stream);
                if constexpr (kHasOneStage<width, kGeneral>)
                    return launch_sharing<TwoStages, TensorCoreForward<Variant, T, ManyRows<width, kGeneral, 1>>>(
                        device, p, stream);
                else
                    return launch_fitting<TwoStages>(device, p, stream);
            });
    return for_simt_width<T>(p.shape, [&](auto width) {
        return few ? launch_fitting<SimtForward<Variant, T, SimtFewRows<width>>>(device, p, stream)
                   : launch_fitting<SimtForward<Variant, T, SimtManyRows<width>>>(device, p, stream);
    });
}

constexpr int kRowWarps = 4;

template <class Variant, class T>
cudaError_t launch_combine(const ParamsOf<Variant, T> &p, const Device &device, cudaStream_t stream) {
    const size_t warps = total_rows(p.shape) * combine_warps_per_row(p.shape);
    const dim3 grid(static_cast<unsigned>((warps + kRowWarps - 1) / kRowWarps)), block(kRowWarps * 32);
    return device.overlaps_launches() ? launch_behind(combine_splits<Variant, T>, grid, block, 0, stream, p)
                                      : launch_kernel(combine_splits<Variant, T>, grid, block, 0, stream, p);
}

template <class Variant, class T>
int launch_forward(const ParamsOf<Variant, T> &p, const Device &device, cudaStream_t stream) {
    if (total_rows(p.shape) == 0) return ATTNEXPORT_OK;
    const int status = launch_one_forward<Variant>(p, device, stream);
    if (status != ATTNEXPORT_OK || p.splits <= 1) return status;
    return launch_combine<Variant>(p, device, stream) == cudaSuccess ? ATTNEXPORT_OK : ATTNEXPORT_CUDA_ERROR;
}

}  // namespace attnexport
