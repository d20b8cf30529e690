// Registers the plugins when the library is opened, for hosts that dlopen it: ONNX Runtime, trtexec --staticPlugins.
// Has to be linked last: static objects run in the order of linking, and the table must be complete by then.
#include "creator_v3.h"
#include "diagnostics.h"
#include "host_registry.h"

namespace {

const bool kRegistered = attnexport::guarded("registration", false, [] {
    nvinfer1::IPluginRegistry &registry = attnexport::host_registry();
    for (nvinfer1::IPluginCreatorInterface *creator : attnexport::creators_v3())
        if (!registry.registerCreator(*creator, attnexport::kNamespace))
            throw attnexport::Error("TensorRT refused a creator; are the plugins loaded already?");
    return true;
});

}  // namespace
