// TensorRT's messages while a command runs: shown with --verbose, and the warnings kept.
#pragma once

#include "attnexport/attnrt.h"

#include <mutex>
#include <string>
#include <vector>

namespace program {

class Messages {
  public:
    explicit Messages(bool show);
    ~Messages();
    Messages(const Messages &) = delete;
    Messages &operator=(const Messages &) = delete;

    std::vector<std::string> warnings();

  private:
    static void receive(void *self, attnrt_severity severity, const char *message);

    bool show_;
    std::mutex mutex_;
    std::vector<std::string> warnings_;
};

}  // namespace program
