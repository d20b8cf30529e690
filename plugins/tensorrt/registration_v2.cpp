// Registers the plugins when the library is opened. TensorRT 8.5 knows no other way, and every host of 8.6 that can
// load a library can dlopen it. getPluginCreators is left out: loadLibrary of 8.6 would register everything twice.
// Has to be linked last: static objects run in the order of linking, and the table must be complete by then.
#include "creator_v2.h"
#include "diagnostics.h"
#include "host_registry.h"

namespace {

const bool kRegistered = attnexport::guarded("registration", false, [] {
    nvinfer1::IPluginRegistry &registry = attnexport::host_registry();
    for (nvinfer1::IPluginCreator *creator : attnexport::creators_v2())
        if (!registry.registerCreator(*creator, attnexport::kNamespace))
            throw attnexport::Error("TensorRT refused a creator; are the plugins loaded already?");
    return true;
});

}  // namespace
