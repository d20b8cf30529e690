#include "builder.h"

#include "errors.h"
#include "logger.h"
#include "onnx_parser.h"
#include "optimization_profile.h"
#include "plugin_libraries.h"

#include <sys/stat.h>

namespace attnrt {
namespace {

using nvinfer1::BuilderFlag;

uint32_t network_flags() {
    using nvinfer1::NetworkDefinitionCreationFlag;
    [[maybe_unused]] const auto bit = [](NetworkDefinitionCreationFlag flag) {
        return 1U << static_cast<uint32_t>(flag);
    };
#if NV_TENSORRT_MAJOR >= 11
    return 0;
#elif NV_TENSORRT_MAJOR == 10
    return bit(NetworkDefinitionCreationFlag::kSTRONGLY_TYPED);
#else
    return bit(NetworkDefinitionCreationFlag::kEXPLICIT_BATCH);
#endif
}

[[maybe_unused]] bool holds_quantizers(const nvinfer1::INetworkDefinition &network) {
    for (int32_t index = 0; index < network.getNbLayers(); ++index) {
        const nvinfer1::LayerType type = network.getLayer(index)->getType();
        if (type == nvinfer1::LayerType::kQUANTIZE || type == nvinfer1::LayerType::kDEQUANTIZE) return true;
    }
    return false;
}

void set_precision(nvinfer1::IBuilderConfig &config, const nvinfer1::INetworkDefinition &network,
                   const attnrt_build_request &request) {
    config.clearFlag(BuilderFlag::kTF32);
#if NV_TENSORRT_MAJOR >= 10
    static_cast<void>(network);
    if (request.allow_float16 != 0)
        throw Error(std::string(request.model) + ": TensorRT " + compiled_version() +
                    " builds the file's own types; expected a file in float16, given the option for float16");
#else
    // TensorRT 8.x refuses Q/DQ nodes without it.
    if (holds_quantizers(network)) config.setFlag(BuilderFlag::kINT8);
    if (request.allow_float16 != 0) config.setFlag(BuilderFlag::kFP16);
#endif
}

void set_tactic_sources(nvinfer1::IBuilderConfig &config, bool cublas_cudnn) {
#if NV_TENSORRT_MAJOR < 10
    using nvinfer1::TacticSource;
    if (cublas_cudnn) return;
    nvinfer1::TacticSources sources = config.getTacticSources();
    for (const TacticSource source : {TacticSource::kCUBLAS, TacticSource::kCUBLAS_LT, TacticSource::kCUDNN})
        sources &= ~(1U << static_cast<uint32_t>(source));
    config.setTacticSources(sources);
#else
    static_cast<void>(config), static_cast<void>(cublas_cudnn);
#endif
}

void embed_plugins(nvinfer1::IBuilderConfig &config, const char *path) {
#if NV_TENSORRT_MAJOR >= 10 || NV_TENSORRT_MINOR >= 6
    config.setPluginsToSerialize(&path, 1);
#else
    static_cast<void>(config);
    throw Error(std::string(path) + ": TensorRT 8.5 cannot put plugin libraries into engines");
#endif
}

std::unique_ptr<nvinfer1::ITimingCache> use_timing_cache(nvinfer1::IBuilderConfig &config,
                                                         const attnrt_build_request &request) {
    std::unique_ptr<nvinfer1::ITimingCache> cache(
        config.createTimingCache(request.timing_cache, request.timing_cache_bytes));
    if (cache == nullptr || !config.setTimingCache(*cache, false))
        throw Error("the timing cache is not one of this TensorRT" + logger().reason());
    return cache;
}

// TensorRT 8.6 and later keep the ONNX node's name apart from the layer's, which may have to differ.
std::string node_name(const nvinfer1::ILayer &layer) {
#if NV_TENSORRT_MAJOR >= 10 || NV_TENSORRT_MINOR >= 6
    const std::string before = "[ONNX Layer: ", metadata = layer.getMetadata();
    const size_t start = metadata.find(before), end = metadata.find(']', start);
    if (start != std::string::npos && end != std::string::npos)
        return metadata.substr(start + before.size(), end - start - before.size());
#endif
    return layer.getName();
}

std::vector<PluginNode> plugin_nodes(const nvinfer1::INetworkDefinition &network) {
    std::vector<PluginNode> nodes;
    for (int32_t index = 0; index < network.getNbLayers(); ++index) {
        nvinfer1::ILayer *layer = network.getLayer(index);
        if (layer->getType() == nvinfer1::LayerType::kPLUGIN_V2) {
            auto &plugin = static_cast<nvinfer1::IPluginV2Layer *>(layer)->getPlugin();
            nodes.push_back({node_name(*layer), plugin.getPluginType()});
        }
#if NV_TENSORRT_MAJOR >= 10
        if (layer->getType() == nvinfer1::LayerType::kPLUGIN_V3) {
            auto &plugin = static_cast<nvinfer1::IPluginV3Layer *>(layer)->getPlugin();
            auto *core = static_cast<nvinfer1::IPluginV3OneCore *>(
                plugin.getCapabilityInterface(nvinfer1::PluginCapabilityType::kCORE));
            nodes.push_back({node_name(*layer), core->getPluginName()});
        }
#endif
    }
    return nodes;
}

}  // namespace

BuiltEngine build(const TensorRt &tensorrt, const attnrt_build_request &request) {
    const std::string model = request.model;
    struct stat facts{};
    if (stat(model.c_str(), &facts) != 0) throw Error(model + ": no such file");
    if (request.plugins != nullptr) load_plugins(tensorrt, request.plugins, request.embed_plugins != 0);

    logger().clear();
    const auto builder = tensorrt.create_builder();
    const std::unique_ptr<nvinfer1::INetworkDefinition> network(builder->createNetworkV2(network_flags()));
    const std::unique_ptr<nvinfer1::IBuilderConfig> config(builder->createBuilderConfig());
    if (network == nullptr || config == nullptr) throw Error("TensorRT cannot create a network" + logger().reason());
    const auto parser = parse_onnx(tensorrt, *network, model);

    set_precision(*config, *network, request);
    set_tactic_sources(*config, request.cublas_cudnn != 0);
    config->setProfilingVerbosity(nvinfer1::ProfilingVerbosity::kDETAILED);
    if (request.workspace_bytes != 0)
        config->setMemoryPoolLimit(nvinfer1::MemoryPoolType::kWORKSPACE, request.workspace_bytes);
    if (request.embed_plugins != 0 && request.plugins != nullptr) embed_plugins(*config, request.plugins);
    const auto timing_cache = use_timing_cache(*config, request);
    add_optimization_profile(*builder, *config, *network, request);

    BuiltEngine built;
    built.plugin_nodes = plugin_nodes(*network);
    built.engine.reset(builder->buildSerializedNetwork(*network, *config));
    if (built.engine == nullptr) throw Error(model + ": TensorRT cannot build it" + logger().reason());
    built.timing_cache.reset(timing_cache->serialize());
    return built;
}

}  // namespace attnrt
