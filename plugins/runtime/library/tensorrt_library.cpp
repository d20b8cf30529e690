#include "tensorrt_library.h"

#include "errors.h"
#include "logger.h"

#include <unistd.h>

#include <tuple>

namespace attnrt {
namespace {

struct Version {
    int major, minor, patch;

    std::string text() const {
        return std::to_string(major) + "." + std::to_string(minor) + "." + std::to_string(patch);
    }
};

constexpr Version kCompiled{NV_TENSORRT_MAJOR, NV_TENSORRT_MINOR, NV_TENSORRT_PATCH};

// 8600 is 8.6.0, and 100300 is 10.3.0.
Version version_of(int number) {
    if (number < 10000) return {number / 1000, number / 100 % 10, number % 100};
    return {number / 10000, number / 100 % 100, number % 100};
}

std::string file_name(int major) { return "libnvinfer.so." + std::to_string(major); }

// TensorRT of another major version in the folder, in words.
std::string other_versions(const std::string &folder) {
    std::string found;
    for (const int major : {8, 9, 10, 11, 12})
        if (!folder.empty() && access((folder + "/" + file_name(major)).c_str(), F_OK) == 0)
            found += "; " + folder + " has " + file_name(major) + ", for which attnrt has to be compiled again";
    return found;
}

SharedLibrary open_nvinfer(const std::string &folder) {
    try {
        return SharedLibrary(folder, file_name(kCompiled.major));
    } catch (const Error &error) {
        throw Error("TensorRT " + std::to_string(kCompiled.major) + ", for which attnrt was compiled, " + error.what() +
                    other_versions(folder));
    }
}

// The virtual functions of TensorRT's classes move between major versions, and minor ones append to them.
void check(const Version &loaded, const std::string &path) {
    if (loaded.major != kCompiled.major ||
        std::tie(loaded.major, loaded.minor) < std::tie(kCompiled.major, kCompiled.minor))
        throw Error(path + ": attnrt was compiled for TensorRT " + kCompiled.text() + ", expected that or a later " +
                    std::to_string(kCompiled.major) + ".x, given TensorRT " + loaded.text());
}

template <class Interface>
std::unique_ptr<Interface> owned(void *created, const char *what) {
    if (created == nullptr) throw Error(std::string("TensorRT cannot create its ") + what + logger().reason());
    return std::unique_ptr<Interface>(static_cast<Interface *>(created));
}

}  // namespace

TensorRt::TensorRt(const std::string &folder) : folder_(folder), library_(open_nvinfer(folder)) {
    const Version loaded = version_of(library_.symbol<int32_t (*)()>("getInferLibVersion")());
    check(loaded, library_.path());
    version_ = loaded.text();
}

std::unique_ptr<nvinfer1::IBuilder> TensorRt::create_builder() const {
    const auto create = library_.symbol<void *(*)(void *, int32_t)>("createInferBuilder_INTERNAL");
    return owned<nvinfer1::IBuilder>(create(&logger(), NV_TENSORRT_VERSION), "builder");
}

std::unique_ptr<nvinfer1::IRuntime> TensorRt::create_runtime() const {
    const auto create = library_.symbol<void *(*)(void *, int32_t)>("createInferRuntime_INTERNAL");
    return owned<nvinfer1::IRuntime>(create(&logger(), NV_TENSORRT_VERSION), "runtime");
}

nvinfer1::IPluginRegistry &TensorRt::plugin_registry() const {
    return *library_.symbol<nvinfer1::IPluginRegistry *(*)()>("getPluginRegistry")();
}

std::string compiled_version() { return kCompiled.text(); }

}  // namespace attnrt
