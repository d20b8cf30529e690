// Launches the Hopper kernel, and puts it into the way of a variant's calls.
#pragma once

#include <common/dispatch.h>
#include <sm90/path.h>
#include <sm90/attention_forward.cuh>

#include <algorithm>

namespace attnexport::sm90 {

using Encode = decltype(&cuTensorMapEncodeTiled);

// The driver's function, found without linking the driver; null where it has none.
inline Encode tensor_map_encoder() {
    static const Encode found = [] {
        void *function = nullptr;
        cudaDriverEntryPointQueryResult result = cudaDriverEntryPointSymbolNotFound;
#if CUDART_VERSION >= 12050
        cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000, cudaEnableDefault, &result);
#else
        cudaGetDriverEntryPoint("cuTensorMapEncodeTiled", &function, cudaEnableDefault, &result);
#endif
        return result == cudaDriverEntryPointSuccess ? reinterpret_cast<Encode>(function) : nullptr;
    }();
    return found;
}

// Boxes of 64 columns and `box_rows` rows of a (pairs, rows, width) tensor, with zeros where the box is larger.
template <class T>
bool describe_tensor(CUtensorMap *map, const T *data, int pairs, int rows, int width, int box_rows) {
    const cuuint64_t sizes[3] = {static_cast<cuuint64_t>(width), static_cast<cuuint64_t>(rows),
                                 static_cast<cuuint64_t>(pairs)};
    const cuuint64_t strides[2] = {sizes[0] * sizeof(T), sizes[0] * sizes[1] * sizeof(T)};
    const cuuint32_t box[3] = {64, static_cast<cuuint32_t>(box_rows), 1}, steps[3] = {1, 1, 1};
    const auto type = std::is_same_v<T, __half> ? CU_TENSOR_MAP_DATA_TYPE_FLOAT16 : CU_TENSOR_MAP_DATA_TYPE_BFLOAT16;
    return tensor_map_encoder()(map, type, 3, const_cast<T *>(data), sizes, strides, box, steps,
                                CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                                CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) == CUDA_SUCCESS;
}

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
