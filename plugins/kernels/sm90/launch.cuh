// Launches the Hopper kernel, and puts it into the way of a variant's calls.
#pragma once

#include <common/dispatch.h>
#include <sm90/path.h>
#include <sm90/tensor_maps.h>
#include <sm90/attention_forward.cuh>

#include <algorithm>

namespace attnexport::sm90 {

template <class Variant, class T, class C>
int launch_config(const ParamsOf<Variant, T> &forward, const Device &device, cudaStream_t stream) {
    const Shape &s = forward.shape;
    const int pairs = s.batch * s.heads;
    CUtensorMap q, k, v, o;
    if (!describe_tensor(&q, forward.q, pairs, s.rows, s.width, 64) ||
        !describe_tensor(&o, forward.out, pairs, s.rows, s.value_width, 64) ||
        !describe_tensor(&k, forward.k, s.pairs(), s.keys, s.width, C::kCols) ||
        !describe_tensor(&v, forward.v, s.pairs(), s.keys, s.value_width, C::kCols))
        return ATTNEXPORT_CUDA_ERROR;
    const auto kernel = attention_forward<Variant, T, C>;
    if (cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, C::kSharedBytes) != cudaSuccess)
        return ATTNEXPORT_CUDA_ERROR;
    const bool longest_first = s.causal && forward.neighbourhood.window == 0;
    const Tiles tiles{(s.rows + C::kRows - 1) / C::kRows, pairs, longest_first};
    const dim3 grid(std::min(device.multiprocessors, tiles.count()));
    const Params<Variant, T> params{forward, tiles};
    return launch_behind(kernel, grid, dim3(C::kThreads), C::kSharedBytes, stream, q, k, v, o, params) == cudaSuccess
               ? ATTNEXPORT_OK
               : ATTNEXPORT_CUDA_ERROR;
}

template <class Variant, class T>
int launch_forward(const ParamsOf<Variant, T> &p, const Device &device, cudaStream_t stream) {
    if constexpr (kMaxWidth > 64)
        if (std::max(p.shape.width, p.shape.value_width) > 64)
            return launch_config<Variant, T, Config<128, 2, Variant::kKeyNorms>>(p, device, stream);
    // Three warpgroups take a sixth less time a row than two, where their tiles are full and their registers hold the
    // rows.
    const auto rows_in = [&](int tile) { return (p.shape.rows + tile - 1) / tile * tile; };
    if constexpr (Variant::kSoftmax)
        if (rows_in(128) * 7 > rows_in(192) * 6)
            return launch_config<Variant, T, Config<64, 3, Variant::kKeyNorms>>(p, device, stream);
    return launch_config<Variant, T, Config<64, 2, Variant::kKeyNorms>>(p, device, stream);
}

// Opens the way for a variant's 16-bit types, Variant<T>.
template <template <class> class Variant>
struct Registration {
    Registration() {
        if (tensor_map_encoder() == nullptr) return;
#if ATTNEXPORT_WITH_FLOAT16
        Path<Variant<__half>, __half>::launch = launch_forward<Variant<__half>, __half>;
#endif
#if ATTNEXPORT_WITH_BFLOAT16
        Path<Variant<__nv_bfloat16>, __nv_bfloat16>::launch = launch_forward<Variant<__nv_bfloat16>, __nv_bfloat16>;
#endif
    }
};

}  // namespace attnexport::sm90
