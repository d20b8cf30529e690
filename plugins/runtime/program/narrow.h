// int64 inputs of models whose engine takes int32: TensorRT 8.x has no int64.
#pragma once

#include "array_files.h"
#include "handles.h"

#include <vector>

namespace program {

// Turns int64 arrays into int32 ones where the engine's input of that name is int32; an Error names a value that does
// not fit.
void narrow_integers(const Engine &engine, std::vector<NamedArray> &inputs);

}  // namespace program
