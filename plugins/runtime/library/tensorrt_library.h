// TensorRT, opened at run time.
#pragma once

#include "shared_library.h"

#include <NvInfer.h>

#include <memory>
#include <string>

namespace attnrt {

class TensorRt {
  public:
    // Throws an Error if libnvinfer of the headers' major version is not there, is older than the headers or does not
    // say its version.
    explicit TensorRt(const std::string &folder);

    // As "10.3.0".
    const std::string &version() const { return version_; }

    // Where libnvinfer was looked for; empty: wherever the dynamic loader looks.
    const std::string &folder() const { return folder_; }

    // These throw an Error with TensorRT's own words.
    std::unique_ptr<nvinfer1::IBuilder> create_builder() const;
    std::unique_ptr<nvinfer1::IRuntime> create_runtime() const;

    nvinfer1::IPluginRegistry &plugin_registry() const;

  private:
    std::string folder_;
    SharedLibrary library_;
    std::string version_;
};

// Of TensorRT's headers, as "10.3.0".
std::string compiled_version();

}  // namespace attnrt
