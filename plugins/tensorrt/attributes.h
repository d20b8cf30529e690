// The attribute values of one node, in the order of its operator.
#pragma once

#include <attnexport/op.h>

#include <cstdint>
#include <string>
#include <vector>

namespace attnexport {

class Attributes {
  public:
    explicit Attributes(const attnexport_op &op);
    // A copy's values would point into the texts of the original.
    Attributes(const Attributes &) = delete;
    Attributes(Attributes &&) = default;

    // Place of an attribute, or -1.
    int find(const char *name) const;

    void set_integer(int index, int64_t value);
    void set_number(int index, double value);
    void set_text(int index, const std::string &value);

    // Throws an Error that names the attributes without a value.
    void require_all() const;

    const attnexport_value *values() const { return values_.data(); }
    const attnexport_value &operator[](int index) const { return values_[index]; }

    // Op(name=value, ...), equal for equal nodes only.
    std::string describe() const;

  private:
    const attnexport_op *op_;
    std::vector<attnexport_value> values_;
    std::vector<std::string> texts_;
    std::vector<bool> given_;
};

}  // namespace attnexport
