#include "case_file.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <sstream>
#include <stdexcept>

namespace harness {
namespace {

int dtype_of(const std::string &name) {
    if (name == "float32") return ATTNEXPORT_FLOAT32;
    if (name == "float16") return ATTNEXPORT_FLOAT16;
    if (name == "bfloat16") return ATTNEXPORT_BFLOAT16;
    if (name == "int32") return ATTNEXPORT_INT32;
    throw std::runtime_error("unknown type " + name);
}

std::vector<int64_t> dims_of(const std::string &text) {
    std::vector<int64_t> dims;
    if (text == "-") return dims;
    std::istringstream stream(text);
    for (std::string size; std::getline(stream, size, ',');) dims.push_back(std::stoll(size));
    return dims;
}

void put(Tensor &tensor, size_t index, float value) {
    char *place = tensor.data.data() + index * element_size(tensor.dtype);
    const auto store = [&](auto element) { std::memcpy(place, &element, sizeof element); };
    if (tensor.dtype == ATTNEXPORT_FLOAT32) store(value);
    if (tensor.dtype == ATTNEXPORT_FLOAT16) store(__float2half(value));
    if (tensor.dtype == ATTNEXPORT_BFLOAT16) store(__float2bfloat16(value));
    if (tensor.dtype == ATTNEXPORT_INT32) store(static_cast<int32_t>(value));
}

std::vector<char> read_file(const std::filesystem::path &path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) throw std::runtime_error("cannot read " + path.string());
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

std::string rest_of(std::istringstream &stream) {
    std::string rest;
    std::getline(stream >> std::ws, rest);
    return rest;
}

Tensor read_tensor(std::istringstream &stream, const std::string &name) {
    std::string dtype, dims;
    stream >> dtype >> dims;
    return {name, dtype_of(dtype), dims_of(dims), {}};
}

Tensor read_input(std::istringstream &stream, const std::filesystem::path &folder) {
    std::string name, source;
    stream >> name;
    Tensor tensor = read_tensor(stream, name);
    stream >> source;
    const std::string rest = rest_of(stream);
    tensor.data.resize(tensor.bytes());
    if (source == "file") {
        tensor.data = read_file(folder / rest);
    } else if (source == "random") {
        std::mt19937 generator(static_cast<unsigned>(std::stoul(rest)));
        for (size_t index = 0; index < tensor.elements(); ++index)
            put(tensor, index, static_cast<float>(generator() >> 8 | 1u) * 0x1p-24f);
    } else if (source == "fill") {
        for (size_t index = 0; index < tensor.elements(); ++index) put(tensor, index, std::stof(rest));
    } else {
        throw std::runtime_error("expected file, random or fill, given " + source);
    }
    if (tensor.data.size() != tensor.bytes())
        throw std::runtime_error("expected " + std::to_string(tensor.bytes()) + " bytes, given " +
                                 std::to_string(tensor.data.size()));
    return tensor;
}

void read_line(Case &read, const std::string &line, const std::filesystem::path &folder) {
    std::istringstream stream(line);
    std::string keyword, name;
    stream >> keyword;
    if (keyword == "op") {
        stream >> read.op;
    } else if (keyword == "integer") {
        stream >> name >> read.integers[name];
    } else if (keyword == "number") {
        stream >> name >> read.numbers[name];
    } else if (keyword == "text") {
        stream >> name;
        read.texts[name] = rest_of(stream);
    } else if (keyword == "input") {
        read.inputs.push_back(read_input(stream, folder));
    } else if (keyword == "output") {
        read.output = read_tensor(stream, "output");
        if (stream >> name && name == "file") read.output_path = (folder / rest_of(stream)).string();
    } else if (keyword == "refused") {
        read.refused = true;
    } else if (!keyword.empty()) {
        throw std::runtime_error("unknown keyword " + keyword);
    }
}

}  // namespace

size_t element_size(int dtype) { return dtype == ATTNEXPORT_FLOAT32 || dtype == ATTNEXPORT_INT32 ? 4 : 2; }

size_t Tensor::elements() const {
    size_t count = 1;
    for (const int64_t size : dims) count *= static_cast<size_t>(size);
    return count;
}

size_t Tensor::bytes() const { return elements() * element_size(dtype); }

std::string shape_text(const std::vector<int64_t> &dims) {
    std::string text = "(";
    for (size_t axis = 0; axis < dims.size(); ++axis) text += (axis == 0 ? "" : ", ") + std::to_string(dims[axis]);
    return text + ")";
}

Case read_case(const std::string &path) {
    std::ifstream file(path);
    if (!file) throw std::runtime_error("cannot read " + path);
    Case read;
    int number = 0;
    for (std::string line; std::getline(file, line);) {
        ++number;
        try {
            read_line(read, line, std::filesystem::path(path).parent_path());
        } catch (const std::exception &error) {
            throw std::runtime_error(path + ":" + std::to_string(number) + ": " + error.what());
        }
    }
    if (read.op.empty() || read.inputs.empty()) throw std::runtime_error(path + ": expected an op and inputs");
    return read;
}

void write_file(const std::string &path, const std::vector<char> &data) {
    std::ofstream file(path, std::ios::binary);
    if (!file.write(data.data(), static_cast<std::streamsize>(data.size())))
        throw std::runtime_error("cannot write " + path);
}

}  // namespace harness
