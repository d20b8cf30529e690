// A plugin registry in the program itself, where a library that registers its plugins when opened finds it.
#pragma once

#include <NvInfer.h>

#include <string>
#include <vector>

namespace harness {

#if NV_TENSORRT_MAJOR >= 10
using AnyCreator = nvinfer1::IPluginCreatorInterface;
#else
using AnyCreator = nvinfer1::IPluginCreator;
#endif

struct Registered {
    AnyCreator *creator;
    std::string plugin_namespace;
};

const std::vector<Registered> &registered();

}  // namespace harness
