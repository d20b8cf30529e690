#include "shapes_option.h"

#include "errors.h"

#include <algorithm>
#include <charconv>
#include <vector>

namespace program {
namespace {

std::vector<std::string> split(const std::string &text, char separator) {
    std::vector<std::string> parts(1);
    for (const char letter : text) {
        if (letter == separator)
            parts.emplace_back();
        else
            parts.back() += letter;
    }
    return parts;
}

bool parse_shape(const std::string &text, std::vector<int64_t> &sizes) {
    for (const std::string &part : split(text, 'x')) {
        int64_t size = 0;
        const char *end = part.data() + part.size();
        const auto parsed = std::from_chars(part.data(), end, size);
        if (parsed.ec != std::errc() || parsed.ptr != end || size < 0) return false;
        sizes.push_back(size);
    }
    return sizes.size() <= ATTNRT_MAX_RANK;
}

}  // namespace

ShapesOption parse_shapes(const std::string &text) {
    const Error wrong("--shapes: expected as x=1x16x64:8x128x64:32x1024x64 or x=8x128x64, given " + text);
    const size_t equals = text.rfind('=');
    if (equals == std::string::npos || equals == 0) throw wrong;
    std::vector<std::string> parts = split(text.substr(equals + 1), ':');
    if (parts.size() == 1) parts.resize(3, parts.front());
    if (parts.size() != 3) throw wrong;

    std::vector<int64_t> shapes[3];
    for (size_t index = 0; index < 3; ++index)
        if (!parse_shape(parts[index], shapes[index]) || shapes[index].size() != shapes[0].size()) throw wrong;
    ShapesOption option{text.substr(0, equals), {}};
    option.profile.rank = static_cast<int32_t>(shapes[0].size());
    std::copy(shapes[0].begin(), shapes[0].end(), option.profile.minimum);
    std::copy(shapes[1].begin(), shapes[1].end(), option.profile.optimum);
    std::copy(shapes[2].begin(), shapes[2].end(), option.profile.maximum);
    return option;
}

}  // namespace program
