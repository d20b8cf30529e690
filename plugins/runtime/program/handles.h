// The C interface's handles, freed with their owner.
#pragma once

#include "attnexport/attnrt.h"
#include "errors.h"

#include <memory>
#include <optional>
#include <string>

namespace program {

template <auto kFree>
struct Free {
    template <class Handle>
    void operator()(Handle *handle) const {
        kFree(handle);
    }
};

using TensorRt = std::unique_ptr<attnrt_tensorrt, Free<attnrt_close>>;
using Built = std::unique_ptr<attnrt_built, Free<attnrt_free_built>>;
using Engine = std::unique_ptr<attnrt_engine, Free<attnrt_free_engine>>;

// Throws the library's last error.
inline void check(attnrt_status status) {
    if (status != ATTNRT_OK) throw Error(attnrt_last_error());
}

// From a folder, or from where the dynamic loader finds it. Throws an Error.
TensorRt open_tensorrt(const std::optional<std::string> &folder);

// Reads and loads an engine file. Throws an Error that names it.
Engine load_engine(const TensorRt &tensorrt, const std::string &path, const std::optional<std::string> &plugins,
                   bool allow_host_code);

}  // namespace program
