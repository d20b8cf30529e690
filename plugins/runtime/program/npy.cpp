#include "npy.h"

#include "errors.h"
#include "little_endian.h"
#include "npy_header.h"

#include <algorithm>
#include <cstring>

namespace program {
namespace {

constexpr char kMagic[] = "\x93NUMPY";
constexpr size_t kMagicBytes = 6;
constexpr size_t kAlignment = 64;

struct Type {
    const char *descr;
    attnrt_dtype dtype;
};

// The first of a type is what is written.
constexpr Type kTypes[] = {
    {"<f4", ATTNRT_FLOAT32},  {"<f2", ATTNRT_FLOAT16},  {"<i4", ATTNRT_INT32}, {"<i8", ATTNRT_INT64},
    {"|i1", ATTNRT_INT8},     {"|u1", ATTNRT_UINT8},    {"|b1", ATTNRT_BOOL},  {"<V2", ATTNRT_BFLOAT16},
    {"|V2", ATTNRT_BFLOAT16}, {"<u2", ATTNRT_BFLOAT16},
};

attnrt_dtype dtype_of(const std::string &descr) {
    for (const Type &type : kTypes)
        if (descr == type.descr) return type.dtype;
    throw Error("expected float32, float16, bfloat16, int64, int32, int8, uint8 or bool, given " + descr);
}

// From the first dim fastest to the last dim fastest.
Bytes to_c_order(const Bytes &data, const std::vector<int64_t> &shape, size_t element) {
    Bytes reordered(data.size());
    std::vector<int64_t> index(shape.size(), 0);
    for (size_t target = 0; target < data.size(); target += element) {
        size_t source = 0;
        for (size_t dim = shape.size(); dim-- > 0;)
            source = source * static_cast<size_t>(shape[dim]) + static_cast<size_t>(index[dim]);
        std::memcpy(&reordered[target], &data[source * element], element);
        for (size_t dim = shape.size(); dim-- > 0 && ++index[dim] == shape[dim];) index[dim] = 0;
    }
    return reordered;
}

Array read(const unsigned char *bytes, size_t size) {
    if (size < 12 || std::memcmp(bytes, kMagic, kMagicBytes) != 0)
        throw Error("expected a .npy file, given another or a part of one");
    const unsigned char version = bytes[kMagicBytes];
    if (version < 1 || version > 3) throw Error("expected version 1, 2 or 3 of .npy, given " + std::to_string(version));
    const size_t start = version == 1 ? 10 : 12;
    const uint64_t length = version == 1 ? read_number<2>(bytes + 8) : read_number<4>(bytes + 8);
    if (length > size - start) throw Error("expected a whole .npy file, given a part of one");
    const NpyHeader header = parse_npy_header(std::string(bytes + start, bytes + start + length));

    Array array;
    array.dtype = dtype_of(header.descr);
    array.shape = header.shape;
    if (array.shape.size() > ATTNRT_MAX_RANK) throw Error("expected at most 8 dims, given " + text_of(array.shape));
    const size_t begin = start + static_cast<size_t>(length), expected = bytes_of(array.dtype, array.shape);
    if (size - begin != expected)
        throw Error("expected " + std::to_string(expected) + " bytes for " + text_of(array.shape) + " " +
                    name_of(array.dtype) + ", given " + std::to_string(size - begin));
    array.data.assign(bytes + begin, bytes + size);
    if (header.fortran_order) array.data = to_c_order(array.data, array.shape, bytes_of(array.dtype));
    return array;
}

std::string header_of(const Array &array) {
    const Type *type = std::find_if(std::begin(kTypes), std::end(kTypes),
                                    [&](const Type &candidate) { return candidate.dtype == array.dtype; });
    std::string shape;
    for (const int64_t size : array.shape) shape += std::to_string(size) + ", ";
    if (array.shape.size() > 1) shape.erase(shape.size() - 2);
    return std::string("{'descr': '") + type->descr + "', 'fortran_order': False, 'shape': (" + shape + "), }";
}

}  // namespace

Array read_npy(const unsigned char *bytes, size_t size, const std::string &name) {
    try {
        return read(bytes, size);
    } catch (const Error &error) {
        throw Error(name + ": " + error.what());
    }
}

Bytes write_npy(const Array &array) {
    std::string header = header_of(array);
    const size_t unpadded = kMagicBytes + 4 + header.size() + 1;
    header.append((kAlignment - unpadded % kAlignment) % kAlignment, ' ');
    header += '\n';
    Bytes file(kMagic, kMagic + kMagicBytes);
    append_number<1>(file, 1);
    append_number<1>(file, 0);
    append_number<2>(file, header.size());
    file.insert(file.end(), header.begin(), header.end());
    file.insert(file.end(), array.data.begin(), array.data.end());
    return file;
}

}  // namespace program
