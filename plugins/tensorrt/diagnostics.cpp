#include "diagnostics.h"

#include <attnexport/op.h>

#include <cstdio>

namespace attnexport {

void report(const char *subject, const char *message) noexcept {
    std::fprintf(stderr, "attnexport: %s: %s\n", subject, message);
}

const char *status_name(int status) noexcept {
    switch (status) {
        case ATTNEXPORT_OK: return "ok";
        case ATTNEXPORT_UNSUPPORTED: return "unsupported";
        case ATTNEXPORT_INVALID: return "invalid";
        case ATTNEXPORT_WORKSPACE_TOO_SMALL: return "workspace too small";
        case ATTNEXPORT_CUDA_ERROR: return "CUDA error";
        case ATTNEXPORT_UNALIGNED: return "an address that is no multiple of 16";
    }
    return "unknown status";
}

}  // namespace attnexport
