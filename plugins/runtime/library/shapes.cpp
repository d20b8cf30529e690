#include "shapes.h"

#include "errors.h"

#include <algorithm>
#include <limits>
#include <type_traits>

namespace attnrt {
namespace {

// 32 bits in TensorRT 8, 64 from 10 on.
using Size = std::remove_reference_t<decltype(nvinfer1::Dims{}.d[0])>;

}  // namespace

std::string text_of(const Shape &shape) {
    if (shape.empty()) return "scalar";
    std::string text;
    for (const int64_t size : shape) text += (text.empty() ? "" : "x") + (size < 0 ? "?" : std::to_string(size));
    return text;
}

nvinfer1::Dims dims_of(const Shape &shape) {
    nvinfer1::Dims dims{};
    if (shape.size() > nvinfer1::Dims::MAX_DIMS) throw Error("expected at most 8 dims, given " + text_of(shape));
    dims.nbDims = static_cast<int32_t>(shape.size());
    for (size_t index = 0; index < shape.size(); ++index) {
        if (shape[index] < -1 || shape[index] > std::numeric_limits<Size>::max())
            throw Error("expected sizes TensorRT can hold, given " + text_of(shape));
        dims.d[index] = static_cast<Size>(shape[index]);
    }
    return dims;
}

Shape shape_of(const nvinfer1::Dims &dims) { return dims.nbDims < 0 ? Shape{} : Shape(dims.d, dims.d + dims.nbDims); }

bool is_dynamic(const Shape &shape) {
    return std::any_of(shape.begin(), shape.end(), [](int64_t size) { return size < 0; });
}

int64_t volume(const Shape &shape) {
    int64_t product = 1;
    for (const int64_t size : shape) {
        if (size != 0 && product > std::numeric_limits<int64_t>::max() / size)
            throw Error("expected fewer elements, given " + text_of(shape));
        product *= size;
    }
    return product;
}

}  // namespace attnrt
