// .npz and .npy files.
#pragma once

#include "array.h"

#include <string>
#include <vector>

namespace program {

// Reads the arrays of these names out of an .npz, whatever else it holds; or a .npy, where there is one name. Throws
// an Error that names the file and the array.
std::vector<NamedArray> read_arrays(const std::string &path, const std::vector<std::string> &names);

// Writes an .npz; or a .npy, where there is one array. Throws an Error.
void write_arrays(const std::string &path, const std::vector<NamedArray> &arrays);

// Refuses a path that write_arrays() would refuse, before the arrays are there. Throws an Error.
void check_arrays_output(const std::string &path, size_t count);

}  // namespace program
