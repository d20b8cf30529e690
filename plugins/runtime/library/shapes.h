// Shapes as TensorRT, the C interface and messages write them.
#pragma once

#include <NvInfer.h>

#include <cstdint>
#include <string>
#include <vector>

namespace attnrt {

using Shape = std::vector<int64_t>;

// As "8x?x64", where ? is a size that varies; "scalar" without dims.
std::string text_of(const Shape &shape);

nvinfer1::Dims dims_of(const Shape &shape);
Shape shape_of(const nvinfer1::Dims &dims);

bool is_dynamic(const Shape &shape);

// Elements of a shape without dynamic sizes.
int64_t volume(const Shape &shape);

}  // namespace attnrt
