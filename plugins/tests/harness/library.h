// A built library, opened as a host does, and its table of operators.
#pragma once

#include <attnexport/op.h>

#include <string>
#include <vector>

namespace harness {

class Library {
  public:
    // Throws std::runtime_error if the library cannot be opened or has another ABI.
    explicit Library(const std::string &path);

    const std::vector<const attnexport_op *> &ops() const { return ops_; }

    // Throws std::runtime_error if there is none of this name.
    const attnexport_op &op(const std::string &name) const;

    // Address of an exported symbol, or null.
    void *find(const char *symbol) const;

  private:
    void *handle_;
    std::vector<const attnexport_op *> ops_;
};

}  // namespace harness
