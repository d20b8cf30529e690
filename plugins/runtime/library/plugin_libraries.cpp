#include "plugin_libraries.h"

#include "errors.h"
#include "logger.h"

#include <dlfcn.h>

#include <cstdlib>
#include <memory>
#include <mutex>
#include <set>

namespace attnrt {
namespace {

#if NV_TENSORRT_MAJOR >= 10
constexpr const char *kExport = "getCreators";
#else
constexpr const char *kExport = "getPluginCreators";
#endif

std::string real_path(const std::string &path) {
    const std::unique_ptr<char, decltype(&std::free)> resolved(realpath(path.c_str(), nullptr), &std::free);
    if (resolved == nullptr) throw Error(path + ": no such plugin library");
    return resolved.get();
}

int32_t registered(nvinfer1::IPluginRegistry &registry) {
    int32_t count = 0;
#if NV_TENSORRT_MAJOR >= 10
    registry.getAllCreators(&count);
#else
    registry.getPluginCreatorList(&count);
#endif
    return count;
}

void load_through_registry(nvinfer1::IPluginRegistry &registry, const std::string &path) {
#if NV_TENSORRT_MAJOR >= 10 || NV_TENSORRT_MINOR >= 6
    logger().clear();
    if (registry.loadLibrary(path.c_str()) == nullptr)
        throw Error(path + ": TensorRT does not load this plugin library" + logger().reason());
#else
    static_cast<void>(registry);
    throw Error(path + ": TensorRT 8.5 loads only plugin libraries that register themselves");
#endif
}

// Registries keep pointers into plugin libraries, so that none is ever closed.
void load(const TensorRt &tensorrt, const std::string &path, bool embeddable) {
    nvinfer1::IPluginRegistry &registry = tensorrt.plugin_registry();
    const int32_t before = registered(registry);
    // One that was open already has registered itself: opening it again runs nothing.
    const bool was_open = dlopen(path.c_str(), RTLD_NOW | RTLD_NOLOAD) != nullptr;
    void *library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
        const char *said = dlerror();
        throw Error("plugin library cannot be opened: " + std::string(said == nullptr ? path : said));
    }
    if (dlsym(library, kExport) != nullptr)
        load_through_registry(registry, path);
    else if (embeddable)
        throw Error(path + ": expected a plugin library that exports " + kExport + ", which an engine can hold");
    if (!was_open && registered(registry) == before)
        throw Error(path + ": registered no plugin with TensorRT " + tensorrt.version() +
                    "; is it a plugin library, built for this version?");
}

}  // namespace

void load_plugins(const TensorRt &tensorrt, const std::string &path, bool embeddable) {
    static std::mutex mutex;
    static std::set<std::string> loaded;
    const std::lock_guard<std::mutex> lock(mutex);
    const std::string real = real_path(path);
    if (loaded.count(real) == 0) {
        load(tensorrt, real, embeddable);
        loaded.insert(real);
    }
}

}  // namespace attnrt
