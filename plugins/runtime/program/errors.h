// What a user gave that cannot be used, in one line.
#pragma once

#include <stdexcept>

namespace program {

class Error : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

}  // namespace program
