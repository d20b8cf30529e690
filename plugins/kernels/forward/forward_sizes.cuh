// The tile sizes of the tensor-core forward kernel for every width, and which of them a device is given.
#pragma once

#include <common/device.h>
#include <forward/attention_forward.cuh>

namespace attnexport {

// Rows of at most this many make a small tile, for decoding: one warp's.
constexpr int kFewRows = 16;

template <int kWidth>
using FewRows = ForwardConfig<kWidth, 1, 1, kWidth == 256 ? 32 : 64>;

// For more rows, in the order in which they are fast: two stages of keys and values, or one where shared memory is
// scarce. kGeneral keeps more in registers, and so fewer scores.
template <int kWidth, bool kGeneral, int kStages>
using ManyRows = ForwardConfig<kWidth, kWidth == 256 ? 1 : 2, 4, kGeneral || kWidth == 256 ? 32 : 64, kStages>;

// Whether two blocks share a multiprocessor with one of the sizes.
template <int kWidth, bool kGeneral>
constexpr bool shares_multiprocessor(const Device &device) {
    return device.resident_blocks(ManyRows<kWidth, kGeneral, 2>::template shared_bytes<__half>()) >= 2 ||
           device.resident_blocks(ManyRows<kWidth, kGeneral, 1>::template shared_bytes<__half>()) >= 2;
}

constexpr Device kSm80{1, 163 * 1024, 164 * 1024};  // and 87
constexpr Device kSm86{1, 99 * 1024, 100 * 1024};   // and 89, 120
static_assert(shares_multiprocessor<64, false>(kSm80) && shares_multiprocessor<64, true>(kSm80));
static_assert(shares_multiprocessor<128, false>(kSm80) && shares_multiprocessor<128, true>(kSm80));
static_assert(shares_multiprocessor<64, false>(kSm86) && shares_multiprocessor<64, true>(kSm86));

}  // namespace attnexport
