// The way from a variant's launch to its Hopper kernel. Those are compiled for SM 90 alone and by themselves
// (sm90/*.cu): a library without them leaves the pointer null, and every call takes the portable kernels.
#pragma once

#include <common/device.h>
#include <forward/params.cuh>

namespace attnexport {
struct ListParams;
}

#pragma GCC visibility push(hidden)

namespace attnexport::sm90 {

constexpr int kSharedBytes = 227 * 1024;  // that a block of an SM 90 may have

template <class Variant, class T>
struct Path {
    // Behind a launch, in the same stream, that wrote what the hooks read. Returns attnexport_status.
    using Launch = int (*)(const ParamsOf<Variant, T> &, const Device &, cudaStream_t);
    static inline Launch launch = nullptr;

    // Whether the kernel serves a call whose queries are many and whose keys are not split.
    static bool serves(const ParamsOf<Variant, T> &p, const Device &device) {
        const Shape &s = p.shape;
        const bool has_width = s.width % 8 == 0 && s.value_width % 8 == 0 && s.width <= 128 && s.value_width <= 128;
        return launch != nullptr && device.major == 9 && device.shared_bytes >= kSharedBytes && has_width &&
               s.keys > 0 && s.rows >= 64 && p.splits <= 1 && p.thresholds == nullptr &&
               p.neighbourhood.grid_width == 0;
    }
};

// The same for selections by lists of candidates, of rows that see many keys.
template <class Variant, class T>
struct ListPath {
    using Launch = int (*)(const ParamsOf<Variant, T> &, const ListParams &, int64_t warps, const Device &,
                           cudaStream_t);
    static inline Launch launch = nullptr;

    // Its blocks hold 192 rows of a query head, and look at the room in lists half as often as the portable kernel's:
    // where so many keys are kept that lists often have to be cut, that one takes less time.
    static bool serves(const ParamsOf<Variant, T> &p, int wanted, const Device &device) {
        constexpr int kFewestRows = 128, kMostWanted = 64;
        const Shape &s = p.shape;
        const bool is_wide = s.width > 64 || s.value_width > 64;
        return launch != nullptr && device.major == 9 && device.shared_bytes >= kSharedBytes && is_wide &&
               s.rows >= kFewestRows && wanted <= kMostWanted && p.neighbourhood.grid_width == 0;
    }
};

}  // namespace attnexport::sm90

#pragma GCC visibility pop
