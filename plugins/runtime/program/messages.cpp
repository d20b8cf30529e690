#include "messages.h"

#include <algorithm>
#include <cstdio>

namespace program {

Messages::Messages(bool show) : show_(show) { attnrt_set_log(&Messages::receive, this); }

Messages::~Messages() { attnrt_set_log(nullptr, nullptr); }

std::vector<std::string> Messages::warnings() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return warnings_;
}

void Messages::receive(void *self, attnrt_severity severity, const char *message) {
    auto &messages = *static_cast<Messages *>(self);
    const std::lock_guard<std::mutex> lock(messages.mutex_);
    if (messages.show_ && severity != ATTNRT_VERBOSE) std::fprintf(stderr, "TensorRT: %s\n", message);
    auto &warnings = messages.warnings_;
    if (severity == ATTNRT_WARNING && std::find(warnings.begin(), warnings.end(), message) == warnings.end())
        warnings.emplace_back(message);
}

}  // namespace program
