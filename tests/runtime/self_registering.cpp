// A plugin library that registers its only creator when it is opened, as TensorRT 8.5 wants it.
#include <NvInfer.h>

namespace {

class Creator final : public nvinfer1::IPluginCreatorV3One {
  public:
    nvinfer1::IPluginV3 *createPlugin(const char *, const nvinfer1::PluginFieldCollection *,
                                      nvinfer1::TensorRTPhase) noexcept override {
        return nullptr;
    }
    const nvinfer1::PluginFieldCollection *getFieldNames() noexcept override { return nullptr; }
    const char *getPluginName() const noexcept override { return "Nothing"; }
    const char *getPluginVersion() const noexcept override { return "1"; }
    const char *getPluginNamespace() const noexcept override { return ""; }
};

Creator creator;
const bool kRegistered = getPluginRegistry()->registerCreator(creator, "");

}  // namespace
