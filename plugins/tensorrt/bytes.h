// Attributes as bytes, which is how an engine of TensorRT 8 holds them.
#pragma once

#include "attributes.h"

#include <cstddef>
#include <string>

namespace attnexport {

std::string write_bytes(const attnexport_op &op, const Attributes &attributes);

// Throws an Error for bytes that write_bytes of this format did not write.
Attributes read_bytes(const attnexport_op &op, const void *data, size_t size);

}  // namespace attnexport
