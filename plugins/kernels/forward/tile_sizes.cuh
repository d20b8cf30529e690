// The table of tile sizes: for every kernel and width the instantiations there are, and which of them a device is
// given.
#pragma once

#include <common/device.h>
#include <common/instantiations.h>
#include <forward/config.cuh>
#include <forward/simt_tile.cuh>

#include <type_traits>

namespace attnexport {

// Rows of at most this many make a small tile, for decoding: one warp's.
constexpr int kFewRows = 16;

// kernel              width   rows of a warp   warps      keys of a tile
// few rows            <= 128  16               1          64
//                     256     16               1          32
// many rows           <= 128  32               4          64 (32 where kGeneral: it keeps more in registers)
//                     256     16               4          32
// selection, counted  64      16               4          64
//                     128     16               4 or 2     32
//                     256     16               2          32
// selection, lists    <= 128  16               4 (128: or 2)  64
//                     256     16               4 or 2     32
template <int kWidth>
using FewRows = ForwardConfig<kWidth, 1, 1, kWidth == 256 ? 32 : 64>;

// In the order in which they are fast: two stages of keys and values, or one where shared memory is scarce.
template <int kWidth, bool kGeneral, int kStages>
using ManyRows = ForwardConfig<kWidth, kWidth == 256 ? 1 : 2, 4, kGeneral || kWidth == 256 ? 32 : 64, kStages>;

// Of a general variant at width 128 every device that holds two blocks of one stage holds two of both.
template <int kWidth, bool kGeneral>
constexpr bool kHasOneStage = !kGeneral || kWidth != 128;

template <int kWidth, int kWarps>
using CountedRows = ForwardConfig<kWidth, 1, kWarps, kWidth == 64 ? 64 : 32>;

template <int kWidth, int kWarps>
using ListedRows = ForwardConfig<kWidth, 1, kWarps, kWidth == 256 ? 32 : 64>;

// Without tensor cores, rows a thread: one for few rows, else these.
template <int kWidth>
using SimtFewRows = SimtConfig<kWidth, 1>;
template <int kWidth>
using SimtManyRows = SimtConfig<kWidth, kWidth == 256 ? 2 : 4>;
template <int kWidth>
using SimtCountedRows = SimtConfig<kWidth, 2>;

// Calls f with the smallest instantiated width, an integral constant, that holds this one; returns what f does.
template <class F>
auto for_width(int width, F f) {
    if constexpr (kMaxWidth > 128)
        if (width > 128) return f(std::integral_constant<int, 256>{});
    if constexpr (kMaxWidth > 64)
        if (width > 64) return f(std::integral_constant<int, 128>{});
    return f(std::integral_constant<int, 64>{});
}

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
