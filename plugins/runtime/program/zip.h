// ZIP archives, as .npz files are: reads what is stored or deflated, with and without ZIP64; writes stored entries.
#pragma once

#include "array.h"

#include <cstdint>
#include <string>
#include <vector>

namespace program {

class ZipReader {
  public:
    // Reads the directory. Throws an Error if it is not that of a ZIP file, or points outside the file.
    explicit ZipReader(Bytes file);

    std::vector<std::string> names() const;

    // Content of an entry, its checksum checked. Throws an Error.
    Bytes read(const std::string &name) const;

  private:
    struct Entry {
        std::string name;
        uint64_t flags, method, checksum, compressed, size, header;
    };

    void read_directory(uint64_t offset, uint64_t bytes, uint64_t count);
    const unsigned char *at(uint64_t offset, uint64_t bytes) const;

    Bytes file_;
    std::vector<Entry> entries_;
};

class ZipWriter {
  public:
    // Throws an Error beyond the 4 GiB that need ZIP64.
    void add(const std::string &name, const Bytes &content);

    // The whole archive; nothing can be added afterwards.
    Bytes finish();

  private:
    Bytes file_, directory_;
    uint64_t count_ = 0;
};

}  // namespace program
