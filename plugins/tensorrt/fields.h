// Attributes as TensorRT's plugin fields.
#pragma once

#include "attributes.h"

#include <NvInfer.h>

#include <cstdint>
#include <vector>

namespace attnexport {

// Field that says in which format an engine holds the attributes.
constexpr char kFormatField[] = "attnexport_format";
constexpr int32_t kFormatVersion = 1;

// The attributes of an ONNX node, or those that write_fields put into an engine. Fields that are no attribute are
// passed over; throws an Error for a missing or ill-typed attribute or another format.
enum class FieldSource { kNode, kEngine };
Attributes read_fields(const attnexport_op &op, const nvinfer1::PluginFieldCollection *fields, FieldSource source);

// Names and types of an operator's attributes: the parser copies from an ONNX node what it finds here.
class DeclaredFields {
  public:
    explicit DeclaredFields(const attnexport_op &op);
    DeclaredFields(const DeclaredFields &) = delete;

    const nvinfer1::PluginFieldCollection *collection() const { return &collection_; }

  private:
    std::vector<nvinfer1::PluginField> fields_;
    nvinfer1::PluginFieldCollection collection_;
};

// Format and values of a node's attributes, which have to outlive this object.
class WrittenFields {
  public:
    WrittenFields(const attnexport_op &op, const Attributes &attributes);
    WrittenFields(const WrittenFields &) = delete;

    const nvinfer1::PluginFieldCollection *collection() const { return &collection_; }

  private:
    std::vector<int32_t> integers_;
    std::vector<float> numbers_;
    std::vector<nvinfer1::PluginField> fields_;
    nvinfer1::PluginFieldCollection collection_;
};

}  // namespace attnexport
