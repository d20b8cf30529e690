// The header of a .npy file: a Python dict literal.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace program {

struct NpyHeader {
    std::string descr;
    bool fortran_order = false;
    std::vector<int64_t> shape;
};

// Throws an Error if the text is anything but a dict of descr, fortran_order and shape.
NpyHeader parse_npy_header(const std::string &text);

}  // namespace program
