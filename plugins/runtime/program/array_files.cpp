#include "array_files.h"

#include "errors.h"
#include "files.h"
#include "npy.h"
#include "zip.h"

#include <algorithm>
#include <utility>

namespace program {
namespace {

bool is_npy(const std::string &path) {
    const std::string ending = ".npy";
    return path.size() >= ending.size() && path.compare(path.size() - ending.size(), ending.size(), ending) == 0;
}

ZipReader open_npz(const std::string &path) {
    Bytes content = read_file(path);
    try {
        return ZipReader(std::move(content));
    } catch (const Error &error) {
        throw Error(path + ": " + error.what());
    }
}

Array read_entry(const std::string &path, const ZipReader &archive, const std::string &name) {
    const std::vector<std::string> entries = archive.names();
    const auto count = std::count(entries.begin(), entries.end(), name + ".npy");
    if (count != 1) {
        std::string found;
        for (const std::string &entry : entries)
            found += (found.empty() ? "" : ", ") + (is_npy(entry) ? entry.substr(0, entry.size() - 4) : entry);
        throw Error(path + ": expected one array " + name + ", given " + std::to_string(count) + " (" + found + ")");
    }
    Bytes content;
    try {
        content = archive.read(name + ".npy");
    } catch (const Error &error) {
        throw Error(path + ": " + name + ": " + error.what());
    }
    return read_npy(content.data(), content.size(), path + ": " + name);
}

}  // namespace

std::vector<NamedArray> read_arrays(const std::string &path, const std::vector<std::string> &names) {
    std::vector<NamedArray> arrays;
    if (is_npy(path)) {
        if (names.size() != 1)
            throw Error(path + ": expected an .npz with " + std::to_string(names.size()) + " arrays, given a .npy");
        const Bytes content = read_file(path);
        arrays.push_back({names.front(), read_npy(content.data(), content.size(), path)});
        return arrays;
    }
    const ZipReader archive = open_npz(path);
    for (const std::string &name : names) arrays.push_back({name, read_entry(path, archive, name)});
    return arrays;
}

void check_arrays_output(const std::string &path, size_t count) {
    check_output(path);
    if (is_npy(path) && count != 1)
        throw Error(path + ": expected an .npz for " + std::to_string(count) + " arrays, given a .npy");
}

void write_arrays(const std::string &path, const std::vector<NamedArray> &arrays) {
    check_arrays_output(path, arrays.size());
    Bytes content;
    if (is_npy(path)) {
        content = write_npy(arrays.front().array);
    } else {
        ZipWriter archive;
        for (const NamedArray &named : arrays) archive.add(named.name + ".npy", write_npy(named.array));
        content = archive.finish();
    }
    write_file(path, content.data(), content.size());
}

}  // namespace program
