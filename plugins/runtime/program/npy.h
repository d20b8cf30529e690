// NumPy's .npy files. bfloat16, which NumPy has no type for, is written as '<V2' and read from it and from uint16.
#pragma once

#include "array.h"

#include <cstddef>
#include <string>

namespace program {

// Throws an Error that begins with `name`: no .npy, an element type that engines have not, or a wrong size.
Array read_npy(const unsigned char *bytes, size_t size, const std::string &name);

Bytes write_npy(const Array &array);

}  // namespace program
