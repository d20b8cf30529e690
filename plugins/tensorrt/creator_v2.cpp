#include "creator_v2.h"

#include "bytes.h"
#include "diagnostics.h"
#include "plugin_v2.h"

namespace attnexport {

nvinfer1::IPluginV2 *CreatorV2::createPlugin(const char *, const nvinfer1::PluginFieldCollection *fields) noexcept {
    return guarded(op_.name, static_cast<PluginV2 *>(nullptr), [&] {
        Attributes attributes = read_fields(op_, fields, FieldSource::kNode);
        return new PluginV2(std::make_shared<const Node>(op_, std::move(attributes)), namespace_);
    });
}

nvinfer1::IPluginV2 *CreatorV2::deserializePlugin(const char *, const void *data, size_t size) noexcept {
    return guarded(op_.name, static_cast<PluginV2 *>(nullptr), [&] {
        return new PluginV2(std::make_shared<const Node>(op_, read_bytes(op_, data, size)), namespace_);
    });
}

void CreatorV2::setPluginNamespace(const char *plugin_namespace) noexcept {
    guarded(op_.name, false, [&] { return (namespace_ = plugin_namespace), true; });
}

// Never destroyed: TensorRT's registry may hold creators until after the library's static objects are gone.
const std::vector<nvinfer1::IPluginCreator *> &creators_v2() {
    static const auto &creators = *[] {
        auto made = std::make_unique<std::vector<nvinfer1::IPluginCreator *>>();
        int32_t count = 0;
        const attnexport_op *const *ops = attnexport_ops(&count);
        for (int32_t index = 0; index < count; ++index) made->push_back(new CreatorV2(*ops[index]));
        return made.release();
    }();
    return creators;
}

}  // namespace attnexport
