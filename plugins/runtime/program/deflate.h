// Decompression, by zlib where it was there at compile time.
#pragma once

#include "array.h"

#include <cstddef>
#include <cstdint>

namespace program {

// Decompresses raw deflate data to exactly `size` bytes. Throws an Error if it is damaged, or without zlib.
Bytes inflate(const unsigned char *compressed, size_t compressed_size, uint64_t size);

}  // namespace program
