#include "deflate.h"

#include "errors.h"

#ifdef ATTNRT_ZLIB
#include <zlib.h>

#include <algorithm>
#include <limits>
#endif

namespace program {
#ifdef ATTNRT_ZLIB

namespace {

// Deflate compresses at most that well.
constexpr uint64_t kMostRatio = 1032;

class Inflater {
  public:
    Inflater() {
        if (inflateInit2(&stream_, -MAX_WBITS) != Z_OK) throw Error("zlib cannot start");
    }
    ~Inflater() { inflateEnd(&stream_); }
    Inflater(const Inflater &) = delete;
    Inflater &operator=(const Inflater &) = delete;

    z_stream *operator->() { return &stream_; }
    int step() { return ::inflate(&stream_, Z_NO_FLUSH); }

  private:
    z_stream stream_{};
};

uInt piece(size_t bytes) { return static_cast<uInt>(std::min<size_t>(bytes, std::numeric_limits<uInt>::max())); }

}  // namespace

Bytes inflate(const unsigned char *compressed, size_t compressed_size, uint64_t size) {
    if (size / kMostRatio > compressed_size) throw Error("expected compressed data, given too little of it");
    Bytes content(static_cast<size_t>(size));
    Inflater inflater;
    size_t read = 0, written = 0;
    int status = Z_OK;
    while (status == Z_OK) {
        inflater->next_in = const_cast<Bytef *>(compressed + read);
        inflater->avail_in = piece(compressed_size - read);
        inflater->next_out = content.data() + written;
        inflater->avail_out = piece(content.size() - written);
        const uInt in = inflater->avail_in, out = inflater->avail_out;
        status = inflater.step();
        read += in - inflater->avail_in;
        written += out - inflater->avail_out;
    }
    if (status != Z_STREAM_END || written != content.size())
        throw Error("expected compressed data, given damaged data");
    return content;
}

#else

Bytes inflate(const unsigned char *, size_t, uint64_t) {
    throw Error(
        "expected an uncompressed file (numpy.savez), given a compressed one; attnrt was compiled without zlib");
}

#endif

}  // namespace program
