// What the adapters should make of a case, derived from the operator's description alone.
#pragma once

#include "case_file.h"

#include <NvInfer.h>

#include <functional>

namespace harness {

// The attributes of a case as plugin fields. Wide ones are kINT64 and kFLOAT64 where TensorRT has them.
class Fields {
  public:
    Fields(const attnexport_op &op, const Case &given, bool wide = false);
    Fields(const Fields &) = delete;

    std::vector<nvinfer1::PluginField> fields;

    nvinfer1::PluginFieldCollection collection() const { return {static_cast<int32_t>(fields.size()), fields.data()}; }

  private:
    std::vector<int32_t> integers_;
    std::vector<int64_t> wide_integers_;
    std::vector<float> numbers_;
    std::vector<double> wide_numbers_;
    std::vector<std::string> texts_;
};

// Number of tensors a node cannot do without, those it may have, and the place of "v".
struct Layout {
    Layout(const attnexport_op &op, const Case &given);
    int required = 0, most = 0, value = 0;
};

// The operator's own call of a case, which has to outlive it.
class DirectCall {
  public:
    DirectCall(const attnexport_op &op, const Case &given, const void *const *inputs = nullptr, void *output = nullptr);
    DirectCall(const DirectCall &) = delete;

    const attnexport_call *get() const { return &call_; }

  private:
    std::vector<attnexport_tensor> tensors_;
    std::vector<attnexport_value> values_;
    attnexport_call call_;
};

// attnexport_status and workspace of the case's shapes, asked of the operator itself.
int workspace_of(const attnexport_op &op, const Case &given, size_t *bytes);

// An engine reserves the workspace of its largest shapes, so that no smaller one may need more.
void check_growing_workspace(const attnexport_op &op, const Case &given);

// The case with twice the samples, and one whose "v" has one sample more than the rest.
Case with_doubled_batch(const Case &given);
Case with_misfitting_value(const attnexport_op &op, const Case &given);

nvinfer1::DataType type_of(int dtype);
nvinfer1::Dims dims_of(const Tensor &tensor);

// Descriptions of the inputs, of a whole case or at one bound.
std::vector<nvinfer1::PluginTensorDesc> described(const Case &given);
std::vector<nvinfer1::DynamicPluginTensorDesc> bounded(const Case &lowest, const Case &highest);

// Tries every type and two formats at every place behind every choice of types in front of it.
using Supports = std::function<bool(int place, const std::vector<nvinfer1::PluginTensorDesc> &tensors)>;
void check_formats(const attnexport_op &op, const Case &given, const Supports &supports);

void check_declared_fields(const attnexport_op &op, const nvinfer1::PluginFieldCollection *declared);

// Checks that creating a plugin without one attribute, or with one of another type, is refused.
using Create = std::function<bool(const nvinfer1::PluginFieldCollection &fields)>;
void check_refused_fields(const attnexport_op &op, const Case &given, const Create &create);

}  // namespace harness
