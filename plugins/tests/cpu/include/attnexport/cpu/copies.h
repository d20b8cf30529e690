// Asynchronous copies to shared memory: queued per thread and done no earlier than in the wait for their group.
#pragma once

#include <cstdint>

#pragma GCC visibility push(hidden)

namespace attnexport::cpu {

// The first `bytes` of `size` bytes come from `from`, which is read in the wait; the rest become zeros.
void queue_copy(uint32_t to, const void *from, int bytes, int size);
void commit_copies();

// Until at most `pending` of the committed groups are left.
void wait_for_copies(int pending);

}  // namespace attnexport::cpu

#pragma GCC visibility pop
