#include "creator_v3.h"

#include "diagnostics.h"
#include "plugin_v3.h"

namespace attnexport {

nvinfer1::IPluginV3 *CreatorV3::createPlugin(const char *, const nvinfer1::PluginFieldCollection *fields,
                                             nvinfer1::TensorRTPhase phase) noexcept {
    return guarded(op_.name, static_cast<nvinfer1::IPluginV3 *>(nullptr), [&]() -> nvinfer1::IPluginV3 * {
        const auto source = phase == nvinfer1::TensorRTPhase::kBUILD ? FieldSource::kNode : FieldSource::kEngine;
        return new PluginV3(std::make_shared<const Node>(op_, read_fields(op_, fields, source)));
    });
}

// Never destroyed: a host may hold creators until after the library's static objects are gone.
const std::vector<nvinfer1::IPluginCreatorInterface *> &creators_v3() {
    static const auto &creators = *[] {
        auto made = std::make_unique<std::vector<nvinfer1::IPluginCreatorInterface *>>();
        int32_t count = 0;
        const attnexport_op *const *ops = attnexport_ops(&count);
        for (int32_t index = 0; index < count; ++index) made->push_back(new CreatorV3(*ops[index]));
        return made.release();
    }();
    return creators;
}

}  // namespace attnexport
