// Dimensions as a network under construction has them: unknown, told apart by identity alone.
#pragma once

#include <NvInfer.h>

#include <list>
#include <utility>
#include <vector>

namespace harness {

class Dimension final : public nvinfer1::IDimensionExpr {
  public:
    Dimension() { mImpl = &implementation_; }

  private:
    // 32 bits in TensorRT 8, 64 from 10 on.
    using Value = decltype(std::declval<const nvinfer1::IDimensionExpr &>().getConstantValue());

    struct Unknown final : nvinfer1::apiv::VDimensionExpr {
        bool isConstant() const override { return false; }
        Value getConstantValue() const override { return -1; }
        bool isSizeTensor() const { return false; }
    };
    Unknown implementation_;
};

// No operator computes with dimensions.
class Builder final : public nvinfer1::IExprBuilder {
  public:
    Builder() { mImpl = nullptr; }
};

class Shapes {
  public:
    explicit Shapes(const std::vector<int> &ranks) {
        for (const int rank : ranks) {
            nvinfer1::DimsExprs dims{rank, {}};
            for (int axis = 0; axis < rank; ++axis) dims.d[axis] = &dimensions_.emplace_back();
            shapes_.push_back(dims);
        }
    }

    const nvinfer1::DimsExprs *data() const { return shapes_.data(); }
    nvinfer1::DimsExprs &operator[](int place) { return shapes_[place]; }

  private:
    std::list<Dimension> dimensions_;
    std::vector<nvinfer1::DimsExprs> shapes_;
};

}  // namespace harness
