#include "bytes.h"

#include "diagnostics.h"

#include <cstring>

namespace attnexport {
namespace {

constexpr int32_t kFormatVersion = 1;

template <class T>
void write(std::string &bytes, T value) {
    bytes.append(reinterpret_cast<const char *>(&value), sizeof value);
}

void write(std::string &bytes, const char *text) {
    write(bytes, static_cast<int32_t>(std::strlen(text)));
    bytes += text;
}

class Reader {
  public:
    Reader(const void *data, size_t size) : next_(static_cast<const char *>(data)), left_(size) {}

    template <class T>
    T take() {
        T value;
        std::memcpy(&value, advance(sizeof value), sizeof value);
        return value;
    }

    std::string take_text() {
        const auto length = take<int32_t>();
        return std::string(advance(length < 0 ? left_ + 1 : static_cast<size_t>(length)), length);
    }

    bool at_end() const { return left_ == 0; }

  private:
    const char *advance(size_t count) {
        if (count > left_) throw Error("the engine holds too few bytes of this plugin");
        const char *taken = next_;
        next_ += count;
        left_ -= count;
        return taken;
    }

    const char *next_;
    size_t left_;
};

}  // namespace

// Format version, then name, kind and value of each attribute.
std::string write_bytes(const attnexport_op &op, const Attributes &attributes) {
    std::string bytes;
    write(bytes, kFormatVersion);
    for (int index = 0; index < op.num_attributes; ++index) {
        const attnexport_value &value = attributes[index];
        write(bytes, op.attributes[index].name);
        write(bytes, op.attributes[index].kind);
        if (op.attributes[index].kind == ATTNEXPORT_INTEGER) write(bytes, value.integer);
        if (op.attributes[index].kind == ATTNEXPORT_NUMBER) write(bytes, value.number);
        if (op.attributes[index].kind == ATTNEXPORT_TEXT) write(bytes, value.text);
    }
    return bytes;
}

Attributes read_bytes(const attnexport_op &op, const void *data, size_t size) {
    Reader reader(data, size);
    const auto version = reader.take<int32_t>();
    if (version != kFormatVersion)
        throw Error("the engine holds this plugin in format " + std::to_string(version) +
                    ", this library reads format " + std::to_string(kFormatVersion));
    Attributes attributes(op);
    while (!reader.at_end()) {
        const std::string name = reader.take_text();
        const auto kind = reader.take<int32_t>();
        const int index = attributes.find(name.c_str());
        if (index < 0 || op.attributes[index].kind != kind)
            throw Error("the engine holds an attribute " + name + " that this library does not know");
        if (kind == ATTNEXPORT_INTEGER) attributes.set_integer(index, reader.take<int64_t>());
        if (kind == ATTNEXPORT_NUMBER) attributes.set_number(index, reader.take<double>());
        if (kind == ATTNEXPORT_TEXT) attributes.set_text(index, reader.take_text());
    }
    attributes.require_all();
    return attributes;
}

}  // namespace attnexport
