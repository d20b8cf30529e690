#include "handles.h"

#include "files.h"

namespace program {

TensorRt open_tensorrt(const std::optional<std::string> &folder) {
    attnrt_tensorrt *opened = nullptr;
    check(attnrt_open(folder ? folder->c_str() : nullptr, &opened));
    return TensorRt(opened);
}

Engine load_engine(const TensorRt &tensorrt, const std::string &path, const std::optional<std::string> &plugins,
                   bool allow_host_code) {
    const Bytes content = read_file(path);
    attnrt_engine *loaded = nullptr;
    if (attnrt_load(tensorrt.get(), content.data(), content.size(), plugins ? plugins->c_str() : nullptr,
                    allow_host_code ? 1 : 0, &loaded) != ATTNRT_OK)
        throw Error(path + ": " + attnrt_last_error());
    return Engine(loaded);
}

}  // namespace program
