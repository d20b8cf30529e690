// One call of one operator, read from a text file:
//
//     op KrauseAttention
//     integer top_k 0
//     number scale 0.125
//     text metric chebyshev
//     input q float16 2,3,5,8 file q.bin
//     input sigma float16 - random 7
//     input kv_lengths int32 2 fill 4
//     output float16 2,3,5,8 file out.bin
//
// Attributes and inputs stand in any order among themselves; inputs are flat, in the order of the node. Dimensions are
// joined by commas, "-" is a scalar. Data is raw, in the byte order of the machine: read from a file, random in (0, 1)
// with a seed, or one value. The output is written to the file that is named, if one is. Relative paths start at the
// folder of the text file. A line "refused" says that the library has no kernel for these shapes or attributes.
#pragma once

#include <attnexport/op.h>

#include <map>
#include <string>
#include <vector>

namespace harness {

struct Tensor {
    std::string name;
    int dtype;
    std::vector<int64_t> dims;
    std::vector<char> data;

    size_t elements() const;
    size_t bytes() const;
};

struct Case {
    std::string op;
    std::map<std::string, int64_t> integers;
    std::map<std::string, double> numbers;
    std::map<std::string, std::string> texts;
    std::vector<Tensor> inputs;
    Tensor output;
    std::string output_path;
    bool refused = false;
};

size_t element_size(int dtype);
std::string shape_text(const std::vector<int64_t> &dims);

// Throws std::runtime_error with the line that is wrong.
Case read_case(const std::string &path);

void write_file(const std::string &path, const std::vector<char> &data);

}  // namespace harness
