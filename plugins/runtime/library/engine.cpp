#include "engine.h"

#include "dtypes.h"
#include "errors.h"
#include "logger.h"
#include "shapes.h"

#include <algorithm>
#include <utility>

namespace attnrt {
namespace {

void copy_sizes(const Shape &shape, int64_t *sizes) { std::copy(shape.begin(), shape.end(), sizes); }

}  // namespace

Engine::Engine(std::shared_ptr<const TensorRt> tensorrt, const void *bytes, size_t size, bool allow_host_code)
    : tensorrt_(std::move(tensorrt)) {
    logger().clear();
    runtime_ = tensorrt_->create_runtime();
#if NV_TENSORRT_MAJOR >= 10 || NV_TENSORRT_MINOR >= 6
    runtime_->setEngineHostCodeAllowed(allow_host_code);
#else
    if (allow_host_code) throw Error("TensorRT 8.5 puts no libraries into engines");
#endif
    engine_.reset(runtime_->deserializeCudaEngine(bytes, size));
    if (engine_ == nullptr)
        throw Error("TensorRT " + tensorrt_->version() + " cannot load the engine, which may be of another version, " +
                    "for another GPU, or need a plugin library" + logger().reason());
    for (const bool inputs : {true, false}) {
        for (int32_t index = 0; index < engine_->getNbIOTensors(); ++index) {
            const char *name = engine_->getIOTensorName(index);
            if ((engine_->getTensorIOMode(name) == nvinfer1::TensorIOMode::kINPUT) == inputs)
                tensors_.push_back(read_tensor(name, inputs));
        }
        if (inputs) num_inputs_ = tensors_.size();
    }
}

attnrt_tensor Engine::read_tensor(const char *name, bool is_input) const {
    if (engine_->getTensorLocation(name) != nvinfer1::TensorLocation::kDEVICE || engine_->isShapeInferenceIO(name))
        throw Error(std::string(name) + ": holds a shape in host memory, which attnrt does not pass in or out");
    if (engine_->getTensorFormat(name) != nvinfer1::TensorFormat::kLINEAR)
        throw Error(std::string(name) + ": expected the linear format, given " + engine_->getTensorFormatDesc(name));
    const Shape shape = shape_of(engine_->getTensorShape(name));
    attnrt_tensor tensor{};
    tensor.name = name;
    tensor.is_input = is_input ? 1 : 0;
    tensor.dtype = dtype_of(engine_->getTensorDataType(name), name);
    tensor.rank = static_cast<int32_t>(shape.size());
    copy_sizes(shape, tensor.dims);
    if (!is_input) return tensor;
    const auto profile = [&](nvinfer1::OptProfileSelector which) {
        return is_dynamic(shape) ? shape_of(engine_->getProfileShape(name, 0, which)) : shape;
    };
    copy_sizes(profile(nvinfer1::OptProfileSelector::kMIN), tensor.minimum);
    copy_sizes(profile(nvinfer1::OptProfileSelector::kOPT), tensor.optimum);
    copy_sizes(profile(nvinfer1::OptProfileSelector::kMAX), tensor.maximum);
    return tensor;
}

std::string Engine::layers() const {
    logger().clear();
    const std::unique_ptr<nvinfer1::IEngineInspector> inspector(engine_->createEngineInspector());
    if (inspector == nullptr) throw Error("TensorRT cannot inspect the engine" + logger().reason());
    const char *said = inspector->getEngineInformation(nvinfer1::LayerInformationFormat::kJSON);
    if (said == nullptr) throw Error("TensorRT says nothing about the engine's layers" + logger().reason());
    return said;
}

uint64_t Engine::scratch_bytes() const {
#if NV_TENSORRT_MAJOR >= 10
    return static_cast<uint64_t>(engine_->getDeviceMemorySizeV2());
#else
    return engine_->getDeviceMemorySize();
#endif
}

std::unique_ptr<nvinfer1::IExecutionContext> Engine::create_context() const {
    logger().clear();
    std::unique_ptr<nvinfer1::IExecutionContext> context(engine_->createExecutionContext());
    if (context == nullptr) throw Error("TensorRT cannot make the engine ready to run" + logger().reason());
    return context;
}

}  // namespace attnrt
