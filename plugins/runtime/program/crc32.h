// The checksum of ZIP files.
#pragma once

#include "array.h"

#include <cstdint>

namespace program {

uint32_t checksum_of(const Bytes &content);

}  // namespace program
