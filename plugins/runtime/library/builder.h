// From an ONNX file to a serialised engine.
#pragma once

#include "attnexport/attnrt.h"
#include "tensorrt_library.h"

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

namespace attnrt {

// Whether networks keep the types of the ONNX file.
constexpr bool kStronglyTyped = NV_TENSORRT_MAJOR >= 10;

// An ONNX node that became a plugin.
struct PluginNode {
    std::string name, type;
};

struct BuiltEngine {
    std::unique_ptr<nvinfer1::IHostMemory> engine, timing_cache;
    std::vector<PluginNode> plugin_nodes;
};

// Throws an Error that names the file, tensor or library.
BuiltEngine build(const TensorRt &tensorrt, const attnrt_build_request &request);

}  // namespace attnrt
