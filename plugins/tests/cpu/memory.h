// Stacks of the threads and the dynamic shared memory, with unmapped pages around them.
#pragma once

#include <cstddef>

#pragma GCC visibility push(hidden)

namespace attnexport::cpu {

constexpr size_t kStackBytes = 128 << 10, kMostSharedBytes = 227 << 10;

void *stack_top(int thread);

// Makes dynamic_shared_memory exactly so large: an unmapped page follows its last 16 bytes.
void resize_shared_memory(size_t bytes);

// Fills it with NaN.
void poison_shared_memory();

}  // namespace attnexport::cpu

#pragma GCC visibility pop
