#include "fields.h"

#include "diagnostics.h"

#include <cstring>

namespace attnexport {
namespace {

using nvinfer1::PluginField;
using nvinfer1::PluginFieldType;

const char *const kKinds[] = {"an integer (kINT32 or kINT64)", "a number (kFLOAT32 or kFLOAT64)", "text (kCHAR)"};

PluginFieldType declared_type(int kind) {
    if (kind == ATTNEXPORT_INTEGER) return PluginFieldType::kINT32;
    return kind == ATTNEXPORT_NUMBER ? PluginFieldType::kFLOAT32 : PluginFieldType::kCHAR;
}

[[noreturn]] void refuse(const PluginField &field, int kind) {
    throw Error(std::string("attribute ") + field.name + ": expected " + kKinds[kind] + ", given field type " +
                std::to_string(static_cast<int>(field.type)) + " with " + std::to_string(field.length) + " entries");
}

template <class T>
T single(const PluginField &field, int kind) {
    if (field.data == nullptr || field.length != 1) refuse(field, kind);
    T value;
    std::memcpy(&value, field.data, sizeof value);
    return value;
}

int64_t integer(const PluginField &field) {
    if (field.type == PluginFieldType::kINT32) return single<int32_t>(field, ATTNEXPORT_INTEGER);
#if NV_TENSORRT_MAJOR >= 10
    if (field.type == PluginFieldType::kINT64) return single<int64_t>(field, ATTNEXPORT_INTEGER);
#endif
    refuse(field, ATTNEXPORT_INTEGER);
}

double number(const PluginField &field) {
    if (field.type == PluginFieldType::kFLOAT32) return single<float>(field, ATTNEXPORT_NUMBER);
    if (field.type == PluginFieldType::kFLOAT64) return single<double>(field, ATTNEXPORT_NUMBER);
    refuse(field, ATTNEXPORT_NUMBER);
}

// Hosts disagree on whether the length counts a closing zero.
std::string text(const PluginField &field) {
    if (field.type != PluginFieldType::kCHAR || field.length < 0) refuse(field, ATTNEXPORT_TEXT);
    if (field.length == 0) return {};
    if (field.data == nullptr) refuse(field, ATTNEXPORT_TEXT);
    const auto *characters = static_cast<const char *>(field.data);
    return std::string(characters, strnlen(characters, field.length));
}

}  // namespace

Attributes read_fields(const attnexport_op &op, const nvinfer1::PluginFieldCollection *fields, FieldSource source) {
    Attributes attributes(op);
    bool format_given = false;
    for (int place = 0; fields != nullptr && place < fields->nbFields; ++place) {
        const PluginField &field = fields->fields[place];
        if (std::strcmp(field.name, kFormatField) == 0) {
            const int64_t version = integer(field);
            if (version != kFormatVersion)
                throw Error("the engine holds this plugin in format " + std::to_string(version) +
                            ", this library reads format " + std::to_string(kFormatVersion));
            format_given = true;
            continue;
        }
        const int index = attributes.find(field.name);
        if (index < 0) continue;
        const int kind = op.attributes[index].kind;
        if (kind == ATTNEXPORT_INTEGER) attributes.set_integer(index, integer(field));
        if (kind == ATTNEXPORT_NUMBER) attributes.set_number(index, number(field));
        if (kind == ATTNEXPORT_TEXT) attributes.set_text(index, text(field));
    }
    if (source == FieldSource::kEngine && !format_given)
        throw Error(std::string("the engine holds no field ") + kFormatField);
    attributes.require_all();
    return attributes;
}

DeclaredFields::DeclaredFields(const attnexport_op &op) : collection_{} {
    for (int index = 0; index < op.num_attributes; ++index)
        fields_.emplace_back(op.attributes[index].name, nullptr, declared_type(op.attributes[index].kind), 1);
    collection_ = {static_cast<int32_t>(fields_.size()), fields_.data()};
}

WrittenFields::WrittenFields(const attnexport_op &op, const Attributes &attributes)
    : integers_(op.num_attributes), numbers_(op.num_attributes), collection_{} {
    fields_.emplace_back(kFormatField, &kFormatVersion, PluginFieldType::kINT32, 1);
    for (int index = 0; index < op.num_attributes; ++index) {
        const attnexport_attribute &attribute = op.attributes[index];
        const attnexport_value &value = attributes[index];
        const void *data = nullptr;
        int32_t length = 1;
        if (attribute.kind == ATTNEXPORT_INTEGER) {
            integers_[index] = static_cast<int32_t>(value.integer);
            data = &integers_[index];
        } else if (attribute.kind == ATTNEXPORT_NUMBER) {
            numbers_[index] = static_cast<float>(value.number);
            data = &numbers_[index];
        } else {
            data = value.text;
            length = static_cast<int32_t>(std::strlen(value.text)) + 1;
        }
        fields_.emplace_back(attribute.name, data, declared_type(attribute.kind), length);
    }
    collection_ = {static_cast<int32_t>(fields_.size()), fields_.data()};
}

}  // namespace attnexport
