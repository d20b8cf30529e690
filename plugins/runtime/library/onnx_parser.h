// TensorRT's ONNX parser, opened at run time. Without NvOnnxParser.h it is left out, and parsing fails.
#pragma once

#include "tensorrt_library.h"

#include <memory>
#include <string>

namespace attnrt {

// Weights of a network may lie in its parser.
class OnnxParser {
  public:
    virtual ~OnnxParser() = default;
};

// Whether this library was compiled with the parser.
bool has_onnx_parser();

// Parses a file into a network. What is returned has to outlive the build. Throws an Error with the parser's own
// words.
std::unique_ptr<OnnxParser> parse_onnx(const TensorRt &tensorrt, nvinfer1::INetworkDefinition &network,
                                       const std::string &path);

}  // namespace attnrt
