#include "array.h"

#include "errors.h"

#include <limits>

namespace program {

size_t bytes_of(attnrt_dtype dtype) {
    switch (dtype) {
        case ATTNRT_INT64: return 8;
        case ATTNRT_FLOAT32:
        case ATTNRT_INT32: return 4;
        case ATTNRT_FLOAT16:
        case ATTNRT_BFLOAT16: return 2;
        default: return 1;
    }
}

const char *name_of(attnrt_dtype dtype) {
    switch (dtype) {
        case ATTNRT_FLOAT32: return "float32";
        case ATTNRT_FLOAT16: return "float16";
        case ATTNRT_BFLOAT16: return "bfloat16";
        case ATTNRT_INT32: return "int32";
        case ATTNRT_INT64: return "int64";
        case ATTNRT_INT8: return "int8";
        case ATTNRT_UINT8: return "uint8";
        case ATTNRT_BOOL: return "bool";
    }
    return "an unknown type";
}

size_t bytes_of(attnrt_dtype dtype, const std::vector<int64_t> &shape) {
    size_t bytes = bytes_of(dtype);
    for (const int64_t size : shape) {
        if (size != 0 && bytes > std::numeric_limits<size_t>::max() / static_cast<size_t>(size))
            throw Error("expected a shape that fits in memory, given " + text_of(shape));
        bytes *= static_cast<size_t>(size);
    }
    return bytes;
}

std::string text_of(const std::vector<int64_t> &shape) {
    if (shape.empty()) return "scalar";
    std::string text;
    for (const int64_t size : shape) text += (text.empty() ? "" : "x") + (size < 0 ? "?" : std::to_string(size));
    return text;
}

}  // namespace program
