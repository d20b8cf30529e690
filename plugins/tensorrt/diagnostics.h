// One line on stderr for whatever goes wrong, and the boundary at which exceptions end.
//
// TensorRT's own logger is not used: its interface changed with TensorRT 11, and a library that never touches it
// serves every version from 10.3 on.
#pragma once

#include <exception>
#include <stdexcept>
#include <string>
#include <utility>

namespace attnexport {

class Error : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

void report(const char *subject, const char *message) noexcept;

// Name of an attnexport_status.
const char *status_name(int status) noexcept;

// Runs `body`; on an exception reports it and returns `failure`.
template <class Result, class Body>
Result guarded(const char *subject, Result failure, Body &&body) noexcept {
    try {
        return std::forward<Body>(body)();
    } catch (const std::exception &error) {
        report(subject, error.what());
    } catch (...) {
        report(subject, "unknown exception");
    }
    return failure;
}

}  // namespace attnexport
