// Runs a plugin's enqueue on memory of the device or of the host.
#pragma once

#include "case_file.h"
#include "memory.h"

#include <cuda_runtime_api.h>

#include <functional>

namespace harness {

// Returns whether the plugin reported success.
using Enqueue =
    std::function<bool(const void *const *inputs, void *const *outputs, void *workspace, cudaStream_t stream)>;

// Runs twice, on the device also out of a CUDA graph, on poisoned memory, and compares with a launch of the operator
// itself. Writes the output if the case names a file.
void check_execution(const attnexport_op &op, const Case &given, size_t workspace_bytes, Place place,
                     const Enqueue &enqueue);

}  // namespace harness
