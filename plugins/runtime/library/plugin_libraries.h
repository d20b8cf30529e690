// Plugin libraries, loaded once a process.
#pragma once

#include "tensorrt_library.h"

#include <string>

namespace attnrt {

// Loads a plugin library: through the registry where it exports creators, else by opening it, which makes it register
// itself. With `embeddable` it has to be one of the former. Throws an Error that names the library.
void load_plugins(const TensorRt &tensorrt, const std::string &path, bool embeddable);

}  // namespace attnrt
