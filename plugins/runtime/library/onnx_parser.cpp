#include "onnx_parser.h"

#include "errors.h"
#include "logger.h"

#if __has_include(<NvOnnxParser.h>)
#define ATTNRT_ONNX_PARSER 1
#include <NvOnnxParser.h>
#else
#define ATTNRT_ONNX_PARSER 0
#endif

#include <algorithm>

namespace attnrt {

bool has_onnx_parser() { return ATTNRT_ONNX_PARSER == 1; }

#if ATTNRT_ONNX_PARSER

namespace {

SharedLibrary open_parser(const std::string &folder) {
    try {
        return SharedLibrary(folder, "libnvonnxparser.so." + std::to_string(NV_TENSORRT_MAJOR));
    } catch (const Error &error) {
        throw Error(std::string("TensorRT's ONNX parser ") + error.what());
    }
}

class LoadedParser final : public OnnxParser {
  public:
    LoadedParser(const TensorRt &tensorrt, nvinfer1::INetworkDefinition &network)
        : library_(open_parser(tensorrt.folder())) {
        const auto create = library_.symbol<void *(*)(void *, void *, int)>("createNvOnnxParser_INTERNAL");
        parser_.reset(static_cast<nvonnxparser::IParser *>(create(&network, &logger(), NV_ONNX_PARSER_VERSION)));
        if (parser_ == nullptr) throw Error("TensorRT cannot create its ONNX parser" + logger().reason());
    }

    void parse(const std::string &path) {
        constexpr auto kVerbosity = static_cast<int>(nvinfer1::ILogger::Severity::kWARNING);
        if (parser_->parseFromFile(path.c_str(), kVerbosity)) return;
        throw Error(path + ": TensorRT's ONNX parser refuses it" + reason());
    }

  private:
    std::string reason() const {
        if (parser_->getNbErrors() == 0) return logger().reason();
        const nvonnxparser::IParserError &error = *parser_->getError(0);
        std::string said = error.desc() == nullptr ? "no reason given" : error.desc();
        std::replace(said.begin(), said.end(), '\n', ' ');
        return ": " + node(error) + said;
    }

    static std::string node(const nvonnxparser::IParserError &error) {
#if NV_TENSORRT_MAJOR >= 10
        if (error.nodeOperator() != nullptr && error.nodeName() != nullptr && error.nodeName()[0] != '\0')
            return std::string(error.nodeOperator()) + " node " + error.nodeName() + ": ";
#endif
        return error.node() < 0 ? "" : "node " + std::to_string(error.node()) + ": ";
    }

    SharedLibrary library_;
    std::unique_ptr<nvonnxparser::IParser> parser_;
};

}  // namespace

std::unique_ptr<OnnxParser> parse_onnx(const TensorRt &tensorrt, nvinfer1::INetworkDefinition &network,
                                       const std::string &path) {
    auto parser = std::make_unique<LoadedParser>(tensorrt, network);
    parser->parse(path);
    return parser;
}

#else

std::unique_ptr<OnnxParser> parse_onnx(const TensorRt &, nvinfer1::INetworkDefinition &, const std::string &path) {
    throw Error(path +
                ": attnrt was compiled without NvOnnxParser.h, so that it loads and runs engines but builds none");
}

#endif

}  // namespace attnrt
