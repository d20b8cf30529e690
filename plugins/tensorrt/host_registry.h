// The plugin registry of the TensorRT that this process has loaded.
#pragma once

#include <NvInfer.h>

namespace attnexport {

// Throws an Error if no TensorRT of the headers' major version is loaded.
nvinfer1::IPluginRegistry &host_registry();

}  // namespace attnexport
