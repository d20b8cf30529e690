// Hands out 256-byte aligned pieces of a workspace; with a null base it only counts.
#pragma once

#include <cstddef>

namespace attnexport {

class Workspace {
  public:
    explicit Workspace(void *base) : base_(static_cast<unsigned char *>(base)) {}

    template <class U>
    U *take(size_t count) {
        unsigned char *piece = base_ == nullptr ? nullptr : base_ + used_;
        used_ += (count * sizeof(U) + 255) / 256 * 256;
        return reinterpret_cast<U *>(piece);
    }

    size_t used() const { return used_; }

  private:
    unsigned char *base_;
    size_t used_ = 0;
};

}  // namespace attnexport
