// Stands for libnvinfer where there is none: it has a version and a plugin registry, and cannot create a builder.
#include <NvInfer.h>

namespace {

using nvinfer1::IPluginCreator;
using nvinfer1::IPluginCreatorInterface;

// Counts what registers itself.
class Registry final : public nvinfer1::IPluginRegistry {
  public:
    bool registerCreator(IPluginCreatorInterface &, const char *) noexcept override { return ++count_ > 0; }
    bool registerCreator(IPluginCreator &, const char *) noexcept override { return ++count_ > 0; }
    IPluginCreatorInterface *const *getAllCreators(int32_t *count) const noexcept override {
        *count = count_;
        return nullptr;
    }
    IPluginCreatorInterface *const *getAllCreatorsRecursive(int32_t *count) noexcept override {
        return getAllCreators(count);
    }
    IPluginCreator *const *getPluginCreatorList(int32_t *) const noexcept override { return nullptr; }
    IPluginCreator *getPluginCreator(const char *, const char *, const char *) noexcept override { return nullptr; }
    IPluginCreatorInterface *getCreator(const char *, const char *, const char *) noexcept override { return nullptr; }
    bool deregisterCreator(const IPluginCreator &) noexcept override { return false; }
    bool deregisterCreator(const IPluginCreatorInterface &) noexcept override { return false; }
    void setErrorRecorder(nvinfer1::IErrorRecorder *) noexcept override {}
    nvinfer1::IErrorRecorder *getErrorRecorder() const noexcept override { return nullptr; }
    bool isParentSearchEnabled() const override { return false; }
    void setParentSearchEnabled(bool) override {}
    void *loadLibrary(const char *) noexcept override { return nullptr; }
    void deregisterLibrary(void *) noexcept override {}
    nvinfer1::IPluginResource *acquirePluginResource(const char *, nvinfer1::IPluginResource *) noexcept override {
        return nullptr;
    }
    int32_t releasePluginResource(const char *) noexcept override { return -1; }

  private:
    int32_t count_ = 0;
};

}  // namespace

extern "C" int32_t getInferLibVersion() noexcept { return NV_TENSORRT_VERSION; }

extern "C" nvinfer1::IPluginRegistry *getPluginRegistry() noexcept {
    static Registry registry;
    return &registry;
}

extern "C" void *createInferBuilder_INTERNAL(void *, int32_t) noexcept { return nullptr; }
