#include "attributes.h"

#include "diagnostics.h"

#include <cstdio>
#include <cstring>
#include <limits>

namespace attnexport {

Attributes::Attributes(const attnexport_op &op)
    : op_(&op), values_(op.num_attributes), texts_(op.num_attributes), given_(op.num_attributes) {}

int Attributes::find(const char *name) const {
    for (int index = 0; index < op_->num_attributes; ++index)
        if (std::strcmp(op_->attributes[index].name, name) == 0) return index;
    return -1;
}

void Attributes::set_integer(int index, int64_t value) {
    if (value < std::numeric_limits<int32_t>::min() || value > std::numeric_limits<int32_t>::max())
        throw Error(std::string("attribute ") + op_->attributes[index].name + ": expected a 32-bit integer, given " +
                    std::to_string(value));
    values_[index].integer = value;
    given_[index] = true;
}

// Numbers are float32 in ONNX and in an engine, so that both phases see the same value.
void Attributes::set_number(int index, double value) {
    values_[index].number = static_cast<float>(value);
    given_[index] = true;
}

void Attributes::set_text(int index, const std::string &value) {
    texts_[index] = value;
    values_[index].text = texts_[index].c_str();
    given_[index] = true;
}

void Attributes::require_all() const {
    std::string missing;
    for (int index = 0; index < op_->num_attributes; ++index)
        if (!given_[index]) missing += (missing.empty() ? "" : ", ") + std::string(op_->attributes[index].name);
    if (!missing.empty()) throw Error("missing attribute: " + missing);
}

std::string Attributes::describe() const {
    std::string line = op_->name;
    for (int index = 0; index < op_->num_attributes; ++index) {
        const attnexport_attribute &attribute = op_->attributes[index];
        line += (index == 0 ? "(" : ", ") + std::string(attribute.name) + "=";
        if (attribute.kind == ATTNEXPORT_INTEGER) line += std::to_string(values_[index].integer);
        if (attribute.kind == ATTNEXPORT_TEXT) line += texts_[index];
        if (attribute.kind == ATTNEXPORT_NUMBER) {
            char digits[32];
            std::snprintf(digits, sizeof digits, "%.9g", values_[index].number);
            line += digits;
        }
    }
    return line + (op_->num_attributes == 0 ? "()" : ")");
}

}  // namespace attnexport
