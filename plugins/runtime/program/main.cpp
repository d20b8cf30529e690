// attnrt: builds, runs and inspects TensorRT engines from the command line.
#include "attnexport/attnrt.h"
#include "commands.h"

#include <algorithm>
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

namespace {

constexpr const char *kHelp = R"(attnrt builds, runs and inspects TensorRT engines.

  attnrt build MODEL.onnx -o MODEL.engine [--plugins LIB] [--shapes x=1x16x64:8x128x64:32x1024x64] ...
               [--precision fp32|fp16] [--embed-plugins] [--timing-cache FILE] [--workspace MIB] [--cublas-cudnn]
  attnrt run MODEL.engine --data IN.npz [-o OUT.npz] [--time N] [--graph] [--plugins LIB] [--allow-host-code]
  attnrt inspect MODEL.engine [--plugins LIB] [--allow-host-code]
  attnrt --version

every command:
  --tensorrt DIR     folder of libnvinfer.so; default: where the dynamic loader finds it
  --json FILE        writes a report
  --verbose          shows TensorRT's messages

build:
  --plugins LIB      plugin library to load
  --shapes NAME=S    minimum:optimum:maximum of an input with dynamic sizes; repeatable
  --precision P      of TensorRT 8.x: fp32, or fp16 where that is faster; later ones build the file's own types
  --embed-plugins    puts the plugin library into the engine
  --timing-cache F   read if it is there, and written
  --workspace MIB    most scratch memory of a layer
  --cublas-cudnn     lets TensorRT 8.x use cuBLAS and cuDNN, which have to be installed

run:
  --data FILE        .npz with an array for each input, or a .npy for a single one; bfloat16 as uint16
  -o FILE            .npz, or a .npy for a single output
  --time N           times N runs: on the GPU, TensorRT's enqueue, a call of attnrt, and with copies
  --graph            runs and times launches of a captured CUDA graph
  --allow-host-code  runs libraries inside the engine: only for engines you trust

Exit codes: 0 done, 2 unusable input, with one line on stderr.
)";

int run(std::vector<std::string> arguments) {
    const std::string command = arguments.empty() ? "--help" : arguments.front();
    if (command == "--help" || command == "-h" ||
        std::find(arguments.begin(), arguments.end(), "--help") != arguments.end()) {
        std::fputs(kHelp, stdout);
        return 0;
    }
    if (command == "--version") {
        std::printf("%s\n", attnrt_build_info());
        return 0;
    }
    arguments.erase(arguments.begin());
    if (command == "build") {
        program::build_command(arguments);
    } else if (command == "run") {
        program::run_command(arguments);
    } else if (command == "inspect") {
        program::inspect_command(arguments);
    } else {
        std::fprintf(stderr, "attnrt: %s: expected build, run or inspect; attnrt --help shows more\n", command.c_str());
        return 2;
    }
    return 0;
}

}  // namespace

int main(int count, char **words) {
    try {
        return run(std::vector<std::string>(words + 1, words + count));
    } catch (const std::bad_alloc &) {
        std::fputs("attnrt: out of memory\n", stderr);
    } catch (const std::exception &error) {
        std::fprintf(stderr, "attnrt: %s\n", error.what());
    }
    return 2;
}
