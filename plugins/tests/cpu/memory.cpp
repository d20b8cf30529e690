#include "memory.h"

#include "block.h"

#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace attnexport::cpu {

unsigned char *dynamic_shared_memory;

namespace {

constexpr size_t kGuard = 4096, kSharedRegion = 256 << 10, kColour = 320;
size_t shared_bytes;

unsigned char *reserve(size_t bytes) {
    void *region = mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (region == MAP_FAILED) {
        std::perror("attnexport cpu: mmap");
        std::abort();
    }
    return static_cast<unsigned char *>(region);
}

void open(unsigned char *region, size_t bytes) {
    if (mprotect(region, bytes, PROT_READ | PROT_WRITE) != 0) {
        std::perror("attnexport cpu: mprotect");
        std::abort();
    }
}

unsigned char *shared_region() {
    static unsigned char *const region = [] {
        unsigned char *reserved = reserve(kSharedRegion + 2 * kGuard);
        open(reserved + kGuard, kSharedRegion);
        return reserved + kGuard;
    }();
    return region;
}

}  // namespace

void *stack_top(int thread) {
    constexpr size_t kPitch = kStackBytes + kGuard;
    static unsigned char *const stacks = reserve(kMostThreads * kPitch);
    static int opened = 0;
    for (; opened <= thread; ++opened) open(stacks + opened * kPitch + kGuard, kStackBytes);
    // Tops at different places in their pages: the lanes of a warp do not compete for the same lines of the cache.
    return stacks + (thread + 1) * kPitch - thread % kLanes * kColour;
}

void resize_shared_memory(size_t bytes) {
    shared_bytes = bytes;
    dynamic_shared_memory = shared_region() + kSharedRegion - (bytes + 15) / 16 * 16;
}

void poison_shared_memory() {
    std::memset(dynamic_shared_memory, 0xff, shared_region() + kSharedRegion - dynamic_shared_memory);
}

unsigned char *shared_at(const Thread &thread, uint32_t address, int bytes, const char *what) {
    if (address % static_cast<uint32_t>(bytes) != 0)
        fail(thread, "%s at shared address %u, which is not a multiple of %d", what, address, bytes);
    if (address > shared_bytes || shared_bytes - address < static_cast<size_t>(bytes))
        fail(thread, "%s at shared address %u, outside of the %zu bytes of dynamic shared memory", what, address,
             shared_bytes);
    return dynamic_shared_memory + address;
}

}  // namespace attnexport::cpu
