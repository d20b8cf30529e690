// Little-endian numbers in bytes, as .npy and .zip hold them.
#pragma once

#include "array.h"

#include <cstdint>

namespace program {

template <int kBytes>
uint64_t read_number(const unsigned char *bytes) {
    uint64_t number = 0;
    for (int index = kBytes - 1; index >= 0; --index) number = number << 8 | bytes[index];
    return number;
}

template <int kBytes>
void append_number(Bytes &bytes, uint64_t number) {
    for (int index = 0; index < kBytes; ++index) bytes.push_back(static_cast<unsigned char>(number >> 8 * index));
}

}  // namespace program
