#include "fake_registry.h"

namespace harness {
namespace {

std::vector<Registered> registered_;

// Has the functions of every version; those that a version does not know are never called.
class Registry final : public nvinfer1::IPluginRegistry {
  public:
    bool registerCreator(AnyCreator &creator, const char *plugin_namespace) noexcept {
        registered_.push_back({&creator, plugin_namespace});
        return true;
    }

#if NV_TENSORRT_MAJOR >= 10
    bool registerCreator(nvinfer1::IPluginCreator &creator, const char *plugin_namespace) noexcept {
        registered_.push_back({&creator, plugin_namespace});
        return true;
    }
    bool deregisterCreator(const nvinfer1::IPluginCreatorInterface &) noexcept { return false; }
    nvinfer1::IPluginCreatorInterface *const *getAllCreators(int32_t *) const noexcept { return nullptr; }
    nvinfer1::IPluginCreatorInterface *const *getAllCreatorsRecursive(int32_t *) noexcept { return nullptr; }
    nvinfer1::IPluginCreatorInterface *getCreator(const char *, const char *, const char *) noexcept { return nullptr; }
    nvinfer1::IPluginResource *acquirePluginResource(const char *, nvinfer1::IPluginResource *) noexcept {
        return nullptr;
    }
    int32_t releasePluginResource(const char *) noexcept { return -1; }
#endif
    bool deregisterCreator(const nvinfer1::IPluginCreator &) noexcept { return false; }
    nvinfer1::IPluginCreator *const *getPluginCreatorList(int32_t *) const noexcept { return nullptr; }
    nvinfer1::IPluginCreator *getPluginCreator(const char *, const char *, const char *) noexcept { return nullptr; }
    void setErrorRecorder(nvinfer1::IErrorRecorder *) noexcept {}
    nvinfer1::IErrorRecorder *getErrorRecorder() const noexcept { return nullptr; }
    bool isParentSearchEnabled() const { return false; }
    void setParentSearchEnabled(bool) {}
    void *loadLibrary(const char *) noexcept { return nullptr; }
    void deregisterLibrary(void *) noexcept {}
};

}  // namespace

const std::vector<Registered> &registered() { return registered_; }

}  // namespace harness

extern "C" nvinfer1::IPluginRegistry *getPluginRegistry() noexcept {
    static harness::Registry registry;
    return &registry;
}

extern "C" int32_t getInferLibVersion() noexcept { return NV_TENSORRT_VERSION; }
