#include "expectations.h"

#include "check.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <stdexcept>

namespace harness {
namespace {

using nvinfer1::DataType;
using nvinfer1::PluginField;
using nvinfer1::PluginFieldType;
using nvinfer1::PluginTensorDesc;
using nvinfer1::TensorFormat;

const DataType kTypes[] = {
    DataType::kFLOAT, DataType::kHALF,  DataType::kINT8, DataType::kINT32, DataType::kBOOL,
#if NV_TENSORRT_MAJOR >= 10
    DataType::kBF16,  DataType::kINT64,
#endif
};

PluginFieldType field_type(int kind, bool wide) {
    if (kind == ATTNEXPORT_TEXT) return PluginFieldType::kCHAR;
    if (kind == ATTNEXPORT_NUMBER) return wide ? PluginFieldType::kFLOAT64 : PluginFieldType::kFLOAT32;
#if NV_TENSORRT_MAJOR >= 10
    if (wide) return PluginFieldType::kINT64;
#endif
    return PluginFieldType::kINT32;
}

template <class Map>
const typename Map::mapped_type &value_of(const Map &values, const char *name) {
    const auto found = values.find(name);
    if (found == values.end()) throw std::runtime_error(std::string("the case has no attribute ") + name);
    return found->second;
}

int64_t fewer(int64_t count, int64_t divisor) { return std::min(count, std::max<int64_t>(1, count / divisor)); }

// The case with fewer samples and tokens: a token count shrinks in every tensor that has it.
Case shrunk(const Case &given, int64_t batch_divisor, const std::map<int64_t, int64_t> &tokens) {
    Case changed = given;
    for (Tensor &input : changed.inputs) {
        const bool lengths = input.dtype == ATTNEXPORT_INT32;
        if (input.dims.size() < 3 && !lengths) continue;
        input.dims[0] = fewer(input.dims[0], batch_divisor);
        if (!lengths) input.dims[2] = tokens.at(input.dims[2]);
    }
    return changed;
}

bool expected_floating(const attnexport_op &op, DataType type) {
    for (const int dtype : {ATTNEXPORT_FLOAT32, ATTNEXPORT_FLOAT16, ATTNEXPORT_BFLOAT16}) {
#if NV_TENSORRT_MAJOR < 10
        if (dtype == ATTNEXPORT_BFLOAT16) continue;
#endif
        if ((op.dtypes >> dtype & 1u) && type == type_of(dtype)) return true;
    }
    return false;
}

}  // namespace

Fields::Fields(const attnexport_op &op, const Case &given, bool wide)
    : integers_(op.num_attributes),
      wide_integers_(op.num_attributes),
      numbers_(op.num_attributes),
      wide_numbers_(op.num_attributes),
      texts_(op.num_attributes) {
    for (int index = 0; index < op.num_attributes; ++index) {
        const attnexport_attribute &attribute = op.attributes[index];
        const PluginFieldType type = field_type(attribute.kind, wide);
        const void *data = nullptr;
        int32_t length = 1;
        if (attribute.kind == ATTNEXPORT_INTEGER) {
            wide_integers_[index] = value_of(given.integers, attribute.name);
            integers_[index] = static_cast<int32_t>(wide_integers_[index]);
            data = type == PluginFieldType::kINT32 ? static_cast<void *>(&integers_[index]) : &wide_integers_[index];
        } else if (attribute.kind == ATTNEXPORT_NUMBER) {
            wide_numbers_[index] = value_of(given.numbers, attribute.name);
            numbers_[index] = static_cast<float>(wide_numbers_[index]);
            data = wide ? static_cast<void *>(&wide_numbers_[index]) : &numbers_[index];
        } else {
            texts_[index] = value_of(given.texts, attribute.name);
            data = texts_[index].data();
            length = static_cast<int32_t>(texts_[index].size()) + (wide ? 1 : 0);
        }
        fields.emplace_back(attribute.name, data, type, length);
    }
}

Layout::Layout(const attnexport_op &op, const Case &given) {
    for (int index = 0; index < op.num_inputs; ++index) {
        const attnexport_input &input = op.inputs[index];
        if (std::strcmp(input.name, "v") == 0) value = most;
        most += input.count_attribute ? static_cast<int>(value_of(given.integers, input.count_attribute)) : 1;
        if (!input.is_length) required = most;
    }
}

DirectCall::DirectCall(const attnexport_op &op, const Case &given, const void *const *inputs, void *output)
    : values_(op.num_attributes) {
    for (const Tensor &input : given.inputs) {
        const void *data = inputs == nullptr ? nullptr : inputs[tensors_.size()];
        attnexport_tensor tensor{data, input.dtype, static_cast<int32_t>(input.dims.size()), {}};
        std::copy(input.dims.begin(), input.dims.end(), tensor.dims);
        tensors_.push_back(tensor);
    }
    for (int index = 0; index < op.num_attributes; ++index) {
        const attnexport_attribute &attribute = op.attributes[index];
        attnexport_value &value = values_[index];
        if (attribute.kind == ATTNEXPORT_INTEGER) value.integer = value_of(given.integers, attribute.name);
        if (attribute.kind == ATTNEXPORT_NUMBER)
            value.number = static_cast<float>(value_of(given.numbers, attribute.name));
        if (attribute.kind == ATTNEXPORT_TEXT) value.text = value_of(given.texts, attribute.name).c_str();
    }
    call_ = {tensors_.data(), static_cast<int32_t>(tensors_.size()), values_.data(), output};
}

int workspace_of(const attnexport_op &op, const Case &given, size_t *bytes) {
    *bytes = 0;
    return op.workspace(DirectCall(op, given).get(), bytes);
}

void check_growing_workspace(const attnexport_op &op, const Case &given) {
    std::vector<std::map<int64_t, int64_t>> choices = {{}};
    for (const Tensor &input : given.inputs) {
        if (input.dims.size() < 3 || choices[0].count(input.dims[2]) != 0) continue;
        std::vector<std::map<int64_t, int64_t>> longer;
        for (const auto &choice : choices)
            for (const int64_t divisor : {1, 2, 8, 64, 4096}) {
                longer.push_back(choice);
                longer.back()[input.dims[2]] = fewer(input.dims[2], divisor);
            }
        choices = longer;
    }
    size_t largest = 0, bytes = 0;
    workspace_of(op, given, &largest);
    std::string culprit;
    for (const auto &tokens : choices)
        for (const int64_t divisor : {1, 2, 4096}) {
            const Case smaller = shrunk(given, divisor, tokens);
            if (workspace_of(op, smaller, &bytes) != ATTNEXPORT_OK || bytes <= largest) continue;
            culprit = std::to_string(largest) + " bytes, but " + std::to_string(bytes) + " for a first input " +
                      shape_text(smaller.inputs[0].dims) + " and v " +
                      shape_text(smaller.inputs[Layout(op, given).value].dims);
        }
    check(culprit.empty(), "no smaller shape needs a larger workspace", culprit);
}

Case with_doubled_batch(const Case &given) {
    Case changed = given;
    for (Tensor &input : changed.inputs)
        if (input.dims.size() >= 3 || input.dtype == ATTNEXPORT_INT32) input.dims[0] *= 2;
    return changed;
}

Case with_misfitting_value(const attnexport_op &op, const Case &given) {
    Case changed = given;
    changed.inputs[Layout(op, given).value].dims[0] += 1;
    return changed;
}

DataType type_of(int dtype) {
    if (dtype == ATTNEXPORT_FLOAT32) return DataType::kFLOAT;
    if (dtype == ATTNEXPORT_FLOAT16) return DataType::kHALF;
#if NV_TENSORRT_MAJOR >= 10
    if (dtype == ATTNEXPORT_BFLOAT16) return DataType::kBF16;
#endif
    if (dtype == ATTNEXPORT_INT32) return DataType::kINT32;
    throw std::runtime_error("this TensorRT has no bfloat16");
}

nvinfer1::Dims dims_of(const Tensor &tensor) {
    nvinfer1::Dims dims{static_cast<int32_t>(tensor.dims.size()), {}};
    for (size_t axis = 0; axis < tensor.dims.size(); ++axis)
        dims.d[axis] = static_cast<std::decay_t<decltype(dims.d[0])>>(tensor.dims[axis]);
    return dims;
}

std::vector<PluginTensorDesc> described(const Case &given) {
    std::vector<PluginTensorDesc> descriptions;
    for (const Tensor &input : given.inputs)
        descriptions.push_back({dims_of(input), type_of(input.dtype), TensorFormat::kLINEAR, 1.f});
    return descriptions;
}

std::vector<nvinfer1::DynamicPluginTensorDesc> bounded(const Case &lowest, const Case &highest) {
    std::vector<nvinfer1::DynamicPluginTensorDesc> descriptions;
    for (size_t place = 0; place < lowest.inputs.size(); ++place) {
        nvinfer1::DynamicPluginTensorDesc description{};
        description.min = dims_of(lowest.inputs[place]);
        description.desc = {description.min, type_of(lowest.inputs[place].dtype), TensorFormat::kLINEAR, 1.f};
        description.max = dims_of(highest.inputs[place]);
#if NV_TENSORRT_MAJOR >= 10
        description.opt = description.min;
#endif
        for (int axis = 0; axis < description.min.nbDims; ++axis)
            if (description.min.d[axis] != description.max.d[axis]) description.desc.dims.d[axis] = -1;
        descriptions.push_back(description);
    }
    return descriptions;
}

void check_formats(const attnexport_op &op, const Case &given, const Supports &supports) {
    const int num_inputs = static_cast<int>(given.inputs.size()), required = Layout(op, given).required;
    int tried = 0, accepted = 0, wrong = 0;
    for (const DataType base : kTypes) {
        if (!expected_floating(op, base)) continue;
        std::vector<PluginTensorDesc> tensors = described(given);
        tensors.push_back({tensors[0].dims, base, TensorFormat::kLINEAR, 1.f});
        for (int place = 0; place <= num_inputs; ++place)
            tensors[place].type = place >= required && place < num_inputs ? DataType::kINT32 : base;
        for (int place = 0; place <= num_inputs; ++place) {
            const PluginTensorDesc right = tensors[place];
            for (const DataType type : kTypes) {
                for (const TensorFormat format : {TensorFormat::kLINEAR, TensorFormat::kCHW4, TensorFormat::kHWC8}) {
                    tensors[place].type = type;
                    tensors[place].format = format;
                    const bool floating = place == 0 ? expected_floating(op, type) : type == base;
                    const bool length = place >= required && place < num_inputs;
                    const bool expected =
                        format == TensorFormat::kLINEAR && (length ? type == DataType::kINT32 : floating);
                    const bool given_answer = supports(place, tensors);
                    ++tried;
                    accepted += given_answer;
                    wrong += given_answer != expected;
                }
            }
            tensors[place] = right;
        }
    }
    check(wrong == 0 && accepted > 0,
          std::to_string(accepted) + " of " + std::to_string(tried) + " types and formats accepted, each rightly",
          wrong == 0 ? "" : std::to_string(wrong) + " wrong answers");
}

void check_declared_fields(const attnexport_op &op, const nvinfer1::PluginFieldCollection *declared) {
    bool equal = declared->nbFields == op.num_attributes;
    for (int index = 0; equal && index < op.num_attributes; ++index)
        equal = std::strcmp(declared->fields[index].name, op.attributes[index].name) == 0 &&
                declared->fields[index].type == field_type(op.attributes[index].kind, false);
    check(equal, "the creator declares the operator's attributes");
}

void check_refused_fields(const attnexport_op &op, const Case &given, const Create &create) {
    for (int index = 0; index < op.num_attributes; ++index) {
        const std::string name = op.attributes[index].name;
        Fields missing(op, given);
        missing.fields.erase(missing.fields.begin() + index);
        check_refusal("a node without " + name, [&] { return !create(missing.collection()); }, {op.name, name});
        Fields mistyped(op, given);
        mistyped.fields[index].type = PluginFieldType::kINT8;
        check_refusal(name + " of another type", [&] { return !create(mistyped.collection()); }, {op.name, name});
    }
}

}  // namespace harness
