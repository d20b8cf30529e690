// From a runtime type to a template argument, for the types that were instantiated.
#pragma once

#include <common/instantiations.h>

#include <cuda_bf16.h>
#include <cuda_fp16.h>

namespace attnexport {

// Calls f(T{}) with the C++ type of an attnexport_dtype; returns its attnexport_status.
template <class F>
int for_dtype(int dtype, F f) {
#if ATTNEXPORT_WITH_FLOAT32
    if (dtype == ATTNEXPORT_FLOAT32) return f(float{});
#endif
#if ATTNEXPORT_WITH_FLOAT16
    if (dtype == ATTNEXPORT_FLOAT16) return f(__half{});
#endif
#if ATTNEXPORT_WITH_BFLOAT16
    if (dtype == ATTNEXPORT_BFLOAT16) return f(__nv_bfloat16{});
#endif
    return ATTNEXPORT_UNSUPPORTED;
}

}  // namespace attnexport
