// Launches the Hopper kernel that selects by lists, and puts it into the way of a variant's calls.
#pragma once

#include <common/dispatch.h>
#include <sm90/path.h>
#include <sm90/tensor_maps.h>
#include <sm90/list_rows.cuh>

#include <algorithm>

namespace attnexport::sm90 {

// `warps`: how many have lists.
template <class Variant, class T>
int launch_lists(const ParamsOf<Variant, T> &p, const ListParams &lists, int64_t warps, const Device &device,
                 cudaStream_t stream) {
    using C = ListConfig;
    const Shape &s = p.shape;
    const int pairs = s.batch * s.heads;
    CUtensorMap q, k;
    if (!describe_tensor(&q, p.q, pairs, s.rows, s.width, 64) ||
        !describe_tensor(&k, p.k, s.pairs(), s.keys, s.width, C::kCols))
        return ATTNEXPORT_CUDA_ERROR;
    const auto kernel = list_rows<Variant, T, C>;
    if (cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, C::kSharedBytes) != cudaSuccess)
        return ATTNEXPORT_CUDA_ERROR;
    const bool longest_first = s.causal && p.neighbourhood.window == 0;
    const Tiles tiles{(s.rows + C::kRows - 1) / C::kRows, pairs, longest_first};
    const int64_t blocks = std::min<int64_t>({device.multiprocessors, tiles.count(), warps / C::kWarps});
    const ListCall<Variant, T> call{p, lists, tiles};
    return launch_kernel(kernel, dim3(static_cast<unsigned>(blocks)), dim3(C::kThreads), C::kSharedBytes, stream, q, k,
                         call) == cudaSuccess
               ? ATTNEXPORT_OK
               : ATTNEXPORT_CUDA_ERROR;
}

// Opens the way for a variant's 16-bit types, Variant<T>, where selections are built.
template <template <class> class Variant>
struct ListRegistration {
    ListRegistration() {
        if constexpr (kTopK && kMaxWidth > 64) {
            if (tensor_map_encoder() == nullptr) return;
#if ATTNEXPORT_WITH_FLOAT16
            ListPath<Variant<__half>, __half>::launch = launch_lists<Variant<__half>, __half>;
#endif
#if ATTNEXPORT_WITH_BFLOAT16
            ListPath<Variant<__nv_bfloat16>, __nv_bfloat16>::launch =
                launch_lists<Variant<__nv_bfloat16>, __nv_bfloat16>;
#endif
        }
    }
};

}  // namespace attnexport::sm90
