#include "dtypes.h"

#include "errors.h"

#include <string>

namespace attnrt {

attnrt_dtype dtype_of(nvinfer1::DataType type, const char *tensor) {
    using nvinfer1::DataType;
    switch (type) {
        case DataType::kFLOAT: return ATTNRT_FLOAT32;
        case DataType::kHALF: return ATTNRT_FLOAT16;
        case DataType::kINT8: return ATTNRT_INT8;
        case DataType::kINT32: return ATTNRT_INT32;
        case DataType::kBOOL: return ATTNRT_BOOL;
        case DataType::kUINT8: return ATTNRT_UINT8;
#if NV_TENSORRT_MAJOR >= 10
        case DataType::kBF16: return ATTNRT_BFLOAT16;
        case DataType::kINT64: return ATTNRT_INT64;
#endif
        default:
            throw Error(std::string(tensor) + ": has TensorRT's element type " +
                        std::to_string(static_cast<int>(type)) + ", which attnrt does not pass in or out");
    }
}

const char *name_of(int32_t dtype) {
    switch (dtype) {
        case ATTNRT_FLOAT32: return "float32";
        case ATTNRT_FLOAT16: return "float16";
        case ATTNRT_BFLOAT16: return "bfloat16";
        case ATTNRT_INT32: return "int32";
        case ATTNRT_INT64: return "int64";
        case ATTNRT_INT8: return "int8";
        case ATTNRT_UINT8: return "uint8";
        case ATTNRT_BOOL: return "bool";
        default: return "an unknown type";
    }
}

size_t bytes_of(int32_t dtype) {
    switch (dtype) {
        case ATTNRT_FLOAT32:
        case ATTNRT_INT32: return 4;
        case ATTNRT_FLOAT16:
        case ATTNRT_BFLOAT16: return 2;
        case ATTNRT_INT64: return 8;
        default: return 1;
    }
}

}  // namespace attnrt
