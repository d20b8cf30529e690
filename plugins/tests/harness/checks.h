// What a harness of one plugin interface checks.
#pragma once

#include "case_file.h"
#include "library.h"
#include "memory.h"

namespace harness {

// The creators, without a case.
void check_library(const Library &library);

// One node, from its creation to its run.
void check_case(const Library &library, const Case &given, Place place);

}  // namespace harness
