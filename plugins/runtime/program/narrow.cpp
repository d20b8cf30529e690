#include "narrow.h"

#include "errors.h"

#include <cstring>
#include <limits>

namespace program {
namespace {

bool takes_int32(const Engine &engine, const std::string &name) {
    for (int32_t index = 0; index < attnrt_num_tensors(engine.get()); ++index) {
        const attnrt_tensor &tensor = *attnrt_tensor_at(engine.get(), index);
        if (tensor.is_input != 0 && name == tensor.name) return tensor.dtype == ATTNRT_INT32;
    }
    return false;
}

Bytes narrowed(const NamedArray &named) {
    using Limits = std::numeric_limits<int32_t>;
    const Bytes &wide = named.array.data;
    Bytes narrow(wide.size() / 2);
    for (size_t index = 0; index < wide.size() / sizeof(int64_t); ++index) {
        int64_t value = 0;
        std::memcpy(&value, &wide[index * sizeof(value)], sizeof(value));
        if (value < Limits::min() || value > Limits::max())
            throw Error(named.name + ": the engine takes int32, given int64 with the value " + std::to_string(value));
        const auto part = static_cast<int32_t>(value);
        std::memcpy(&narrow[index * sizeof(part)], &part, sizeof(part));
    }
    return narrow;
}

}  // namespace

void narrow_integers(const Engine &engine, std::vector<NamedArray> &inputs) {
    for (NamedArray &named : inputs) {
        if (named.array.dtype != ATTNRT_INT64 || !takes_int32(engine, named.name)) continue;
        named.array.data = narrowed(named);
        named.array.dtype = ATTNRT_INT32;
    }
}

}  // namespace program
