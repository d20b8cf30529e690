#include "logger.h"

#include <algorithm>

namespace attnrt {
namespace {

attnrt_severity severity_of(nvinfer1::ILogger::Severity severity) {
    switch (severity) {
        case nvinfer1::ILogger::Severity::kINTERNAL_ERROR:
        case nvinfer1::ILogger::Severity::kERROR: return ATTNRT_ERROR;
        case nvinfer1::ILogger::Severity::kWARNING: return ATTNRT_WARNING;
        case nvinfer1::ILogger::Severity::kINFO: return ATTNRT_INFO;
        default: return ATTNRT_VERBOSE;
    }
}

}  // namespace

void Logger::log(Severity severity, const nvinfer1::AsciiChar *message) noexcept {
    const attnrt_severity given = severity_of(severity);
    const std::lock_guard<std::mutex> lock(mutex_);
    try {
        if (given == ATTNRT_ERROR && first_error_.empty()) first_error_ = message;
        if (given == ATTNRT_WARNING) last_warning_ = message;
    } catch (...) {
        // Without memory there is no text; the failure itself is still reported.
    }
    if (log_ != nullptr) log_(context_, given, message);
}

void Logger::pass_on_to(attnrt_log log, void *context) {
    const std::lock_guard<std::mutex> lock(mutex_);
    log_ = log;
    context_ = context;
}

void Logger::clear() {
    const std::lock_guard<std::mutex> lock(mutex_);
    first_error_.clear();
    last_warning_.clear();
}

std::string Logger::reason() {
    const std::lock_guard<std::mutex> lock(mutex_);
    // TensorRT 8 gives some reasons, that there is no GPU for one, as warnings.
    std::string line = first_error_.empty() ? last_warning_ : first_error_;
    std::replace(line.begin(), line.end(), '\n', ' ');
    return line.empty() ? "" : ": " + line;
}

Logger &logger() {
    static Logger *const instance = new Logger;
    return *instance;
}

}  // namespace attnrt
