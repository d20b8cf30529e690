// Which of a node's flat inputs is which: an input may take several tensors, as many as one of the attributes says.
#pragma once

#include "attributes.h"

#include <string>
#include <vector>

namespace attnexport {

class InputLayout {
  public:
    InputLayout(const attnexport_op &op, const Attributes &attributes);

    int required() const { return required_; }                    // tensors a node cannot do without
    int most() const { return static_cast<int>(names_.size()); }  // with the optional lengths behind them
    int value() const { return value_; }                          // place of the input named "v"
    bool is_length(int place) const { return place >= required_; }
    const std::string &name(int place) const { return names_[place]; }

    // Throws an Error if a node cannot have so many inputs.
    void check_count(int count) const;

  private:
    std::vector<std::string> names_;
    int required_ = 0;
    int value_ = -1;
};

}  // namespace attnexport
