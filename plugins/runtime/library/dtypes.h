// Element types: attnrt's numbers for them, TensorRT's and their names.
#pragma once

#include "attnexport/attnrt.h"

#include <NvInfer.h>

#include <cstddef>

namespace attnrt {

// Throws an Error that names the tensor if attnrt has no such type.
attnrt_dtype dtype_of(nvinfer1::DataType type, const char *tensor);

const char *name_of(int32_t dtype);
size_t bytes_of(int32_t dtype);

}  // namespace attnrt
