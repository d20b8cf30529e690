// An array in memory.
#pragma once

#include "attnexport/attnrt.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace program {

using Bytes = std::vector<unsigned char>;

// Contiguous, the last dim fastest.
struct Array {
    attnrt_dtype dtype = ATTNRT_FLOAT32;
    std::vector<int64_t> shape;
    Bytes data;
};

struct NamedArray {
    std::string name;
    Array array;
};

size_t bytes_of(attnrt_dtype dtype);
const char *name_of(attnrt_dtype dtype);

// Throws an Error if memory cannot hold such an array.
size_t bytes_of(attnrt_dtype dtype, const std::vector<int64_t> &shape);

// As "8x?x64", where ? is a size that varies; "scalar" without dims.
std::string text_of(const std::vector<int64_t> &shape);

}  // namespace program
