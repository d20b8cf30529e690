#include <attnexport/cpu/copies.h>

#include "block.h"

#include <cstring>

namespace attnexport::cpu {

namespace {

void carry_out(const Thread &thread, const Copy &copy) {
    unsigned char *to = shared_at(thread, copy.to, copy.size, "copy_async");
    if (copy.bytes > 0) std::memcpy(to, copy.from, copy.bytes);
    std::memset(to + copy.bytes, 0, copy.size - copy.bytes);
}

}  // namespace

void queue_copy(uint32_t to, const void *from, int bytes, int size) {
    Thread &thread = *block.current;
    shared_at(thread, to, size, "copy_async");
    if (bytes < 0 || bytes > size) fail(thread, "copy_async of %d bytes out of %d", bytes, size);
    if (bytes > 0 && reinterpret_cast<uintptr_t>(from) % size != 0)
        fail(thread, "copy_async from %p, which is not a multiple of %d", from, size);
    thread.copies.push_back({from, to, thread.committed, static_cast<uint8_t>(bytes), static_cast<uint8_t>(size)});
}

void commit_copies() { ++block.current->committed; }

void wait_for_copies(int pending) {
    Thread &thread = *block.current;
    auto copy = thread.copies.begin();
    for (; copy != thread.copies.end() && copy->group + pending < thread.committed; ++copy) carry_out(thread, *copy);
    thread.copies.erase(thread.copies.begin(), copy);
}

}  // namespace attnexport::cpu
