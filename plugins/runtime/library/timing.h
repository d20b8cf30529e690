// How long runs of an engine take.
#pragma once

#include "execution.h"

namespace attnrt {

// Times plain runs; a null pointer in `times` is not measured. Throws an Error.
void time_runs(Execution &execution, Arrays inputs, int32_t repeats, const attnrt_times &times);

// Times launches of a captured graph, which are all there is to `gpu` and `enqueue`. Throws an Error.
void time_graph(Execution &execution, Arrays inputs, int32_t repeats, const attnrt_times &times);

}  // namespace attnrt
