#include "host_registry.h"

#include "diagnostics.h"

#include <dlfcn.h>

#include <optional>
#include <string>

namespace attnexport {
namespace {

// Hosts such as ONNX Runtime load TensorRT outside the global scope, where only its handle leads to its symbols.
// RTLD_DEFAULT is a null pointer.
std::optional<void *> loaded_tensorrt() {
    if (dlsym(RTLD_DEFAULT, "getPluginRegistry") != nullptr) return RTLD_DEFAULT;
    for (const char *stem : {"libnvinfer.so.", "libnvinfer_lean.so.", "libnvinfer_dispatch.so."}) {
        const std::string name = stem + std::to_string(NV_TENSORRT_MAJOR);
        if (void *library = dlopen(name.c_str(), RTLD_NOW | RTLD_NOLOAD)) return library;
    }
    return std::nullopt;
}

template <class Function>
Function symbol(void *library, const char *name) {
    void *address = dlsym(library, name);
    if (address == nullptr) throw Error(std::string("TensorRT has no symbol ") + name);
    return reinterpret_cast<Function>(address);
}

int major_of(int version) { return version < 10000 ? version / 1000 : version / 10000; }

}  // namespace

nvinfer1::IPluginRegistry &host_registry() {
    const std::optional<void *> library = loaded_tensorrt();
    if (!library)
        throw Error("TensorRT " + std::to_string(NV_TENSORRT_MAJOR) + " has to be loaded before this library");
    // The registry's virtual functions moved between major versions.
    const int version = symbol<int32_t (*)()>(*library, "getInferLibVersion")();
    if (major_of(version) != NV_TENSORRT_MAJOR)
        throw Error("built for TensorRT " + std::to_string(NV_TENSORRT_MAJOR) + ", but version " +
                    std::to_string(version) + " is loaded");
    return *symbol<nvinfer1::IPluginRegistry *(*)()>(*library, "getPluginRegistry")();
}

}  // namespace attnexport
