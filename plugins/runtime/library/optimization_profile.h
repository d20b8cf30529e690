// The shapes for which an engine is built.
#pragma once

#include "attnexport/attnrt.h"

#include <NvInfer.h>

namespace attnrt {

// Throws an Error that names the input: one with a dynamic size and no profile, or a profile that does not fit.
void add_optimization_profile(nvinfer1::IBuilder &builder, nvinfer1::IBuilderConfig &config,
                              const nvinfer1::INetworkDefinition &network, const attnrt_build_request &request);

}  // namespace attnrt
