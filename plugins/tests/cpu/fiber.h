// Fibers: stacks that a thread changes between by hand.
#pragma once

#include <cstddef>

#pragma GCC visibility push(hidden)

namespace attnexport::cpu {

// Where a fiber that does not run goes on.
using Fiber = void *;

// A fiber that begins with `begin`, the same for all, which must not return.
Fiber make_fiber(void *stack_top, size_t stack_bytes, void (*begin)());

// Goes on with `to` and leaves in `from` where the caller goes on.
void switch_fiber(Fiber *from, Fiber to);

}  // namespace attnexport::cpu

#pragma GCC visibility pop
