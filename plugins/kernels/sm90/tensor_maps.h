// Descriptions of tensors for the copy unit.
#pragma once

#include <cuda.h>
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <type_traits>

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

}  // namespace attnexport::sm90
