#include "crc32.h"

#include <array>

namespace program {
namespace {

std::array<uint32_t, 256> checksum_table() {
    std::array<uint32_t, 256> table{};
    for (uint32_t byte = 0; byte < table.size(); ++byte) {
        uint32_t value = byte;
        for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1) != 0 ? 0xEDB88320U : 0U);
        table[byte] = value;
    }
    return table;
}

}  // namespace

uint32_t checksum_of(const Bytes &content) {
    static const std::array<uint32_t, 256> table = checksum_table();
    uint32_t value = 0xFFFFFFFFU;
    for (const unsigned char byte : content) value = table[(value ^ byte) & 0xFF] ^ (value >> 8);
    return ~value;
}

}  // namespace program
