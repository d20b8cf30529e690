// What a caller did wrong or TensorRT refused, in one line.
#pragma once

#include <stdexcept>

namespace attnrt {

class Error : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

}  // namespace attnrt
