// Whole files; an output is either whole or absent.
#pragma once

#include "array.h"

#include <string>
#include <vector>

namespace program {

bool exists(const std::string &path);

// Throws an Error that names the file.
Bytes read_file(const std::string &path);

// Refuses an output that cannot be written, before the long work. Throws an Error.
void check_output(const std::string &path);

// The same, and refuses an output that is one of the inputs.
void check_output(const std::string &path, const std::vector<std::string> &inputs);

// Writes beside the file under another name, then renames. Throws an Error.
void write_file(const std::string &path, const void *data, size_t bytes);

}  // namespace program
