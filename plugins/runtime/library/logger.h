// TensorRT's messages: passed on, and its errors kept for the line that explains a failure.
#pragma once

#include "attnexport/attnrt.h"

#include <NvInfer.h>

#include <mutex>
#include <string>

namespace attnrt {

class Logger final : public nvinfer1::ILogger {
  public:
    void log(Severity severity, const nvinfer1::AsciiChar *message) noexcept override;

    void pass_on_to(attnrt_log log, void *context);

    // Forgets the messages so far.
    void clear();

    // ": " and the first error since clear(), or the last warning; nothing where there was neither.
    std::string reason();

  private:
    std::mutex mutex_;
    attnrt_log log_ = nullptr;
    void *context_ = nullptr;
    std::string first_error_, last_warning_;
};

// TensorRT keeps the first logger it is given for as long as the process lives.
Logger &logger();

}  // namespace attnrt
