// The element types of TensorRT and of the kernels.
#pragma once

#include <NvInfer.h>
#include <attnexport/op.h>

namespace attnexport {

// attnexport_dtype, or -1 for a type that no operator takes.
inline int dtype_of(nvinfer1::DataType type) {
    switch (type) {
        case nvinfer1::DataType::kFLOAT: return ATTNEXPORT_FLOAT32;
        case nvinfer1::DataType::kHALF: return ATTNEXPORT_FLOAT16;
#if NV_TENSORRT_MAJOR >= 9
        case nvinfer1::DataType::kBF16: return ATTNEXPORT_BFLOAT16;
#endif
        case nvinfer1::DataType::kINT32: return ATTNEXPORT_INT32;
        default: return -1;
    }
}

inline const char *dtype_name(int dtype) {
    switch (dtype) {
        case ATTNEXPORT_FLOAT32: return "float32";
        case ATTNEXPORT_FLOAT16: return "float16";
        case ATTNEXPORT_BFLOAT16: return "bfloat16";
        case ATTNEXPORT_INT32: return "int32";
        default: return "another type";
    }
}

inline bool is_floating(const attnexport_op &op, int dtype) {
    return dtype >= 0 && dtype != ATTNEXPORT_INT32 && (op.dtypes >> dtype & 1u) != 0;
}

}  // namespace attnexport
