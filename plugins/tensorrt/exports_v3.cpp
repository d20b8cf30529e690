// What IPluginRegistry::loadLibrary looks for in a library of plugins.
#include "creator_v3.h"
#include "diagnostics.h"

extern "C" nvinfer1::IPluginCreatorInterface *const *getCreators(int32_t &count) {
    count = 0;
    return attnexport::guarded("getCreators", static_cast<nvinfer1::IPluginCreatorInterface *const *>(nullptr), [&] {
        const auto &creators = attnexport::creators_v3();
        count = static_cast<int32_t>(creators.size());
        return creators.data();
    });
}

extern "C" void setLoggerFinder(nvinfer1::ILoggerFinder *) {}
