#include "optimization_profile.h"

#include "errors.h"
#include "logger.h"
#include "shapes.h"

#include <string>

namespace attnrt {
namespace {

using nvinfer1::OptProfileSelector;

const attnrt_profile *profile_of(const attnrt_build_request &request, const std::string &input) {
    for (int32_t index = 0; index < request.num_profiles; ++index)
        if (input == request.profiles[index].input) return &request.profiles[index];
    return nullptr;
}

// Every profile has to be of an input.
void check_names(const nvinfer1::INetworkDefinition &network, const attnrt_build_request &request) {
    std::string names;
    for (int32_t index = 0; index < network.getNbInputs(); ++index)
        names += (names.empty() ? "" : ", ") + std::string(network.getInput(index)->getName());
    for (int32_t index = 0; index < request.num_profiles; ++index) {
        const std::string given = request.profiles[index].input;
        bool found = false;
        for (int32_t input = 0; input < network.getNbInputs(); ++input)
            found = found || given == network.getInput(input)->getName();
        if (!found) throw Error(given + ": expected shapes of an input (" + names + "), given shapes of another name");
    }
}

void check_fits(const std::string &input, const Shape &shape, const attnrt_profile &profile) {
    const auto rank = static_cast<size_t>(profile.rank);
    bool fits = rank == shape.size();
    for (size_t index = 0; fits && index < rank; ++index) {
        const int64_t least = profile.minimum[index], best = profile.optimum[index], most = profile.maximum[index];
        fits = least <= best && best <= most && (shape[index] < 0 || (least == shape[index] && most == shape[index]));
    }
    if (!fits)
        throw Error(input + ": expected minimum, optimum and maximum of " + text_of(shape) + ", given " +
                    text_of(Shape(profile.minimum, profile.minimum + rank)) + ", " +
                    text_of(Shape(profile.optimum, profile.optimum + rank)) + " and " +
                    text_of(Shape(profile.maximum, profile.maximum + rank)));
}

void set(nvinfer1::IOptimizationProfile &profile, const char *input, const attnrt_profile &given) {
    const auto set_one = [&](OptProfileSelector which, const int64_t *sizes) {
        if (!profile.setDimensions(input, which, dims_of(Shape(sizes, sizes + given.rank))))
            throw Error(std::string(input) + ": TensorRT refuses the shapes" + logger().reason());
    };
    set_one(OptProfileSelector::kMIN, given.minimum);
    set_one(OptProfileSelector::kOPT, given.optimum);
    set_one(OptProfileSelector::kMAX, given.maximum);
}

}  // namespace

void add_optimization_profile(nvinfer1::IBuilder &builder, nvinfer1::IBuilderConfig &config,
                              const nvinfer1::INetworkDefinition &network, const attnrt_build_request &request) {
    check_names(network, request);
    nvinfer1::IOptimizationProfile *profile = nullptr;
    for (int32_t index = 0; index < network.getNbInputs(); ++index) {
        const nvinfer1::ITensor &input = *network.getInput(index);
        const Shape shape = shape_of(input.getDimensions());
        const attnrt_profile *given = profile_of(request, input.getName());
        if (given != nullptr) check_fits(input.getName(), shape, *given);
        if (!is_dynamic(shape)) continue;
        if (given == nullptr)
            throw Error(std::string(input.getName()) + ": expected minimum, optimum and maximum of " + text_of(shape) +
                        ", given no shapes");
        // It belongs to the builder.
        if (profile == nullptr) profile = builder.createOptimizationProfile();
        set(*profile, input.getName(), *given);
    }
    if (profile != nullptr && config.addOptimizationProfile(profile) < 0)
        throw Error("TensorRT refuses the shapes" + logger().reason());
}

}  // namespace attnrt
