// What a library instantiates: everything, or what `attnexport plugins build --for` found in the models it was given.
#pragma once

#include <attnexport/op.h>

#ifndef ATTNEXPORT_WITH_FLOAT32
#define ATTNEXPORT_WITH_FLOAT32 1
#endif
#ifndef ATTNEXPORT_WITH_FLOAT16
#define ATTNEXPORT_WITH_FLOAT16 1
#endif
#ifndef ATTNEXPORT_WITH_BFLOAT16
#define ATTNEXPORT_WITH_BFLOAT16 1
#endif
// Largest head width that is instantiated, and whether top-k selections are.
#ifndef ATTNEXPORT_MAX_WIDTH
#define ATTNEXPORT_MAX_WIDTH 256
#endif
#ifndef ATTNEXPORT_WITH_TOP_K
#define ATTNEXPORT_WITH_TOP_K 1
#endif

namespace attnexport {

constexpr uint32_t kDtypes = (ATTNEXPORT_WITH_FLOAT32 ? 1u << ATTNEXPORT_FLOAT32 : 0) |
                             (ATTNEXPORT_WITH_FLOAT16 ? 1u << ATTNEXPORT_FLOAT16 : 0) |
                             (ATTNEXPORT_WITH_BFLOAT16 ? 1u << ATTNEXPORT_BFLOAT16 : 0);
constexpr int kMaxWidth = ATTNEXPORT_MAX_WIDTH;
constexpr bool kTopK = ATTNEXPORT_WITH_TOP_K != 0;

}  // namespace attnexport
