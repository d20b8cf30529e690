#include "zip.h"

#include "crc32.h"
#include "deflate.h"
#include "errors.h"
#include "little_endian.h"

#include <algorithm>
#include <utility>

namespace program {
namespace {

// Section numbers are those of PKWARE's APPNOTE.
constexpr uint64_t kLocalHeader = 0x04034b50;      // 4.3.7
constexpr uint64_t kDirectoryHeader = 0x02014b50;  // 4.3.12
constexpr uint64_t kZip64End = 0x06064b50;         // 4.3.14
constexpr uint64_t kZip64Locator = 0x07064b50;     // 4.3.15
constexpr uint64_t kEnd = 0x06054b50;              // 4.3.16
constexpr uint64_t kZip64Extra = 1;                // 4.5.3

constexpr size_t kLocalHeaderBytes = 30, kDirectoryHeaderBytes = 46, kLocatorBytes = 20, kZip64EndBytes = 56,
                 kEndBytes = 22, kMostComment = 0xFFFF;
constexpr uint64_t kIn16 = 0xFFFF, kIn32 = 0xFFFFFFFF;  // the value is in the ZIP64 record

constexpr uint64_t kStored = 0, kDeflated = 8;
constexpr uint64_t kEncrypted = 1;

[[noreturn]] void damaged() { throw Error("expected a whole .npz file, given a damaged one"); }

// Takes values that did not fit the directory out of the ZIP64 extra field, in this order.
class Zip64Extra {
  public:
    Zip64Extra(const unsigned char *extra, size_t bytes) {
        for (size_t position = 0; position + 4 <= bytes;) {
            const size_t length = read_number<2>(extra + position + 2);
            if (length > bytes - position - 4) damaged();
            if (read_number<2>(extra + position) == kZip64Extra) {
                next_ = extra + position + 4;
                left_ = length;
            }
            position += 4 + length;
        }
    }

    uint64_t value_or_own(uint64_t value) {
        if (value != kIn32) return value;
        if (left_ < 8) damaged();
        const uint64_t found = read_number<8>(next_);
        next_ += 8;
        left_ -= 8;
        return found;
    }

  private:
    const unsigned char *next_ = nullptr;
    size_t left_ = 0;
};

}  // namespace

ZipReader::ZipReader(Bytes file) : file_(std::move(file)) {
    if (file_.size() < kEndBytes) throw Error("expected a .npz file, given too short a file");
    const size_t last = file_.size() - kEndBytes, first = last > kMostComment ? last - kMostComment : 0;
    for (size_t position = last + 1; position-- > first;) {
        const unsigned char *end = at(position, kEndBytes);
        if (read_number<4>(end) != kEnd) continue;
        uint64_t count = read_number<2>(end + 10), bytes = read_number<4>(end + 12), offset = read_number<4>(end + 16);
        if (count == kIn16 || bytes == kIn32 || offset == kIn32) {
            if (position < kLocatorBytes) damaged();
            const unsigned char *locator = at(position - kLocatorBytes, kLocatorBytes);
            if (read_number<4>(locator) != kZip64Locator) damaged();
            const unsigned char *zip64 = at(read_number<8>(locator + 8), kZip64EndBytes);
            if (read_number<4>(zip64) != kZip64End) damaged();
            count = read_number<8>(zip64 + 32);
            bytes = read_number<8>(zip64 + 40);
            offset = read_number<8>(zip64 + 48);
        }
        read_directory(offset, bytes, count);
        return;
    }
    throw Error("expected a .npz file, given another or a part of one");
}

void ZipReader::read_directory(uint64_t offset, uint64_t bytes, uint64_t count) {
    const unsigned char *directory = at(offset, bytes);
    uint64_t position = 0;
    for (uint64_t index = 0; index < count; ++index) {
        if (bytes - position < kDirectoryHeaderBytes) damaged();
        const unsigned char *header = directory + position;
        if (read_number<4>(header) != kDirectoryHeader) damaged();
        const uint64_t name = read_number<2>(header + 28), extra = read_number<2>(header + 30),
                       comment = read_number<2>(header + 32);
        if (bytes - position - kDirectoryHeaderBytes < name + extra + comment) damaged();
        const unsigned char *text = header + kDirectoryHeaderBytes;
        Zip64Extra zip64(text + name, extra);
        Entry entry;
        entry.name.assign(text, text + name);
        entry.flags = read_number<2>(header + 8);
        entry.method = read_number<2>(header + 10);
        entry.checksum = read_number<4>(header + 16);
        entry.size = zip64.value_or_own(read_number<4>(header + 24));
        entry.compressed = zip64.value_or_own(read_number<4>(header + 20));
        entry.header = zip64.value_or_own(read_number<4>(header + 42));
        entries_.push_back(std::move(entry));
        position += kDirectoryHeaderBytes + name + extra + comment;
    }
}

std::vector<std::string> ZipReader::names() const {
    std::vector<std::string> names;
    for (const Entry &entry : entries_) names.push_back(entry.name);
    return names;
}

Bytes ZipReader::read(const std::string &name) const {
    const auto entry = std::find_if(entries_.begin(), entries_.end(), [&](const Entry &e) { return e.name == name; });
    if (entry == entries_.end()) throw Error("expected an entry " + name + ", given none");
    if ((entry->flags & kEncrypted) != 0) throw Error("expected a plain .npz file, given an encrypted one");
    const unsigned char *header = at(entry->header, kLocalHeaderBytes);
    if (read_number<4>(header) != kLocalHeader) damaged();
    const uint64_t start =
        entry->header + kLocalHeaderBytes + read_number<2>(header + 26) + read_number<2>(header + 28);
    const unsigned char *data = at(start, entry->compressed);
    Bytes content;
    if (entry->method == kStored && entry->compressed == entry->size)
        content.assign(data, data + entry->size);
    else if (entry->method == kDeflated)
        content = inflate(data, static_cast<size_t>(entry->compressed), entry->size);
    else
        throw Error("expected stored or deflated data, given ZIP's method " + std::to_string(entry->method));
    if (checksum_of(content) != entry->checksum) damaged();
    return content;
}

const unsigned char *ZipReader::at(uint64_t offset, uint64_t bytes) const {
    if (offset > file_.size() || bytes > file_.size() - offset) damaged();
    return file_.data() + offset;
}

void ZipWriter::add(const std::string &name, const Bytes &content) {
    const uint64_t offset = file_.size();
    if (name.size() >= kIn16 || count_ + 1 >= kIn16 || content.size() >= kIn32 ||
        offset + content.size() + name.size() + kLocalHeaderBytes >= kIn32)
        throw Error("expected less than 4 GiB in one .npz file, given more");
    const uint32_t checksum = checksum_of(content);
    const auto common = [&](Bytes &bytes) {
        append_number<2>(bytes, 20);       // version needed to extract
        append_number<2>(bytes, 1 << 11);  // the name is UTF-8
        append_number<2>(bytes, kStored);
        append_number<2>(bytes, 0);           // time
        append_number<2>(bytes, 1 << 5 | 1);  // date: 1 January 1980
        append_number<4>(bytes, checksum);
        append_number<4>(bytes, content.size());
        append_number<4>(bytes, content.size());
        append_number<2>(bytes, name.size());
        append_number<2>(bytes, 0);  // no extra field
    };
    append_number<4>(file_, kLocalHeader);
    common(file_);
    file_.insert(file_.end(), name.begin(), name.end());
    file_.insert(file_.end(), content.begin(), content.end());

    append_number<4>(directory_, kDirectoryHeader);
    append_number<2>(directory_, 20);  // version made by
    common(directory_);
    append_number<2>(directory_, 0);  // no comment
    append_number<2>(directory_, 0);  // disk
    append_number<2>(directory_, 0);  // internal attributes
    append_number<4>(directory_, 0);  // external attributes
    append_number<4>(directory_, offset);
    directory_.insert(directory_.end(), name.begin(), name.end());
    ++count_;
}

Bytes ZipWriter::finish() {
    const uint64_t offset = file_.size();
    file_.insert(file_.end(), directory_.begin(), directory_.end());
    append_number<4>(file_, kEnd);
    append_number<4>(file_, 0);  // disks
    append_number<2>(file_, count_);
    append_number<2>(file_, count_);
    append_number<4>(file_, directory_.size());
    append_number<4>(file_, offset);
    append_number<2>(file_, 0);  // no comment
    return std::move(file_);
}

}  // namespace program
