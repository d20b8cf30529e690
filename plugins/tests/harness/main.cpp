// harness [--memory host|device] LIBRARY [CASE...]
//
// Opens a library of plugins as TensorRT does, takes every creator and every case (case_file.h) through the calls of
// a build and of a run, and prints one line per check. Exit code 1 at the first that fails, 2 for bad arguments.
#include "check.h"
#include "checks.h"

#include <cstdio>
#include <cstring>
#include <exception>
#include <filesystem>

int main(int argc, char **argv) {
    int next = 1;
    auto place = harness::Place::kDevice;
    if (next + 1 < argc && std::strcmp(argv[next], "--memory") == 0) {
        place = std::strcmp(argv[next + 1], "host") == 0 ? harness::Place::kHost : harness::Place::kDevice;
        next += 2;
    }
    if (next >= argc) {
        std::fprintf(stderr, "usage: %s [--memory host|device] LIBRARY [CASE...]\n", argv[0]);
        return 2;
    }
    try {
        const harness::Library library(argv[next]);
        harness::about(std::filesystem::path(argv[next]).stem().string());
        harness::check_library(library);
        for (++next; next < argc; ++next) {
            const harness::Case given = harness::read_case(argv[next]);
            harness::about(given.op + " " + std::filesystem::path(argv[next]).stem().string());
            harness::check_case(library, given, place);
        }
    } catch (const std::exception &error) {
        harness::check(false, error.what());
    }
    return 0;
}
