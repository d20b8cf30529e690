// --shapes x=1x16x64:8x128x64:32x1024x64
#pragma once

#include "attnexport/attnrt.h"

#include <string>

namespace program {

struct ShapesOption {
    std::string input;
    attnrt_profile profile;  // without its input's name
};

// Minimum, optimum and maximum of an input; one shape stands for all three. Throws an Error.
ShapesOption parse_shapes(const std::string &text);

}  // namespace program
