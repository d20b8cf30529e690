// Chooses the kernels that find the thresholds of a selection, and launches them.
#pragma once

#include <forward/launch.cuh>
#include <selection/stream_select.cuh>

namespace attnexport {

template <class Variant, class T, class Config>
struct CountingSelect {
    static constexpr size_t bytes = select_shared_bytes<Variant, T, Config>;

    static int launch(const ParamsOf<Variant, T> &p, cudaStream_t stream, const SelectParams &select) {
        return launch_rows(select_rows<Variant, T, Config>, bytes, Config::kRows, Config::kThreads, p.shape, p.splits,
                           stream, p, select);
    }
};

template <class Variant, class T, class Config>
struct ListingSelect {
    static constexpr size_t bytes = stream_select_shared_bytes<Variant, T, Config>;

    static int launch(const ParamsOf<Variant, T> &p, cudaStream_t stream, const SelectParams &select) {
        return launch_rows(stream_select<Variant, T, Config>, bytes, Config::kRows, Config::kThreads, p.shape, 1,
                           stream, p, select.thresholds, select.wanted);
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

// Whether one pass through lists is the faster way: for whole rows and small k, unless a window leaves so few keys that
// the counters of select_rows.cuh collect them all at once.
template <class RowParams, class T>
bool streams_selection(const ForwardParams<RowParams, T> &p, int wanted) {
    const int64_t window = p.neighbourhood.window;
    const bool few_keys = window > 0 && (p.shape.causal ? window : 2 * window - 1) <= kBins;
    return p.splits <= 1 && wanted <= kMostStreamed && !few_keys;
}

template <class Variant, class T>
int launch_tensor_core_select(const ParamsOf<Variant, T> &p, const SelectParams &select, const Device &device,
                              cudaStream_t stream) {
    return for_width(std::max(p.shape.width, p.shape.value_width), [&](auto width) {
        if (streams_selection(p, select.wanted))
            return launch_fitting<ListingSelect<Variant, T, ListedRows<width, 4>>,
                                  ListingSelect<Variant, T, ListedRows<width, width == 64 ? 4 : 2>>>(device, p, stream,
                                                                                                     select);
        if (p.shape.group_rows() <= kFewRows)
            return launch_fitting<CountingSelect<Variant, T, FewRows<width>>>(device, p, stream, select);
        return launch_fitting<CountingSelect<Variant, T, CountedRows<width, width == 256 ? 2 : 4>>,
                              CountingSelect<Variant, T, CountedRows<width, width == 64 ? 4 : 2>>>(device, p, stream,
                                                                                                   select);
    });
}

template <class Variant, class T>
int launch_one_select(const ParamsOf<Variant, T> &p, const SelectParams &select, const Device &device,
                      cudaStream_t stream) {
    if constexpr (sizeof(T) == 2)
        if (uses_tensor_cores<T>(p.shape)) return launch_tensor_core_select<Variant>(p, select, device, stream);
    return for_simt_width<T>(p.shape, [&](auto width) {
        return p.shape.group_rows() <= kFewRows
                   ? launch_fitting<SimtSelect<Variant, T, SimtFewRows<width>>>(device, p, stream, select)
                   : launch_fitting<SimtSelect<Variant, T, SimtCountedRows<width>>>(device, p, stream, select);
    });
}

inline dim3 warp_per_row(const Shape &s) {
    return dim3(static_cast<unsigned>((total_rows(s) + kRowWarps - 1) / kRowWarps));
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

}  // namespace attnexport
