#include "block.h"

#include "memory.h"

#include <cstdlib>

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace attnexport::cpu {

Block block;

namespace {

uint64_t random_state;

uint32_t random_bits() {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return static_cast<uint32_t>(random_state >> 16);
}

uint32_t bit(const Thread &thread) { return 1u << thread.lane; }

void make_ready(Warp &warp, uint32_t lanes) {
    if (lanes == 0) return;
    warp.ready |= lanes;
    block.ready_warps |= 1u << warp.number;
    const uint32_t bits = random_bits();
    warp.start = bits;
    warp.step = (bits >> 8) | 1;
    warp.flip = bits >> 16 & 31;
    warp.cursor = 0;
}

void stop(const Thread &thread) {
    Warp &warp = *thread.warp;
    warp.ready &= ~bit(thread);
    if (warp.ready == 0) block.ready_warps &= ~(1u << warp.number);
}

[[noreturn]] void report_deadlock() {
    const char *barrier = block.at_barrier > 0 ? "; other threads wait at __syncthreads" : "";
    for (int number = 0; number < block.num_warps; ++number) {
        const Warp &warp = block.warps[number];
        if (warp.waiting == 0) continue;
        const Rendezvous &first = warp.rendezvous[0];
        const Thread &waiter = block.threads[number * kLanes + __builtin_ctz(first.arrived)];
        const uint32_t missing = first.mask & warp.live & ~first.arrived;
        const Thread &absent = block.threads[number * kLanes + __builtin_ctz(missing)];
        fail(waiter, "deadlock: waits in %s (mask 0x%08x) for lanes 0x%08x, of which lane %d is at %s (mask 0x%08x)%s",
             name(first.kind), first.mask, missing, absent.lane, name(absent.at), absent.mask, barrier);
    }
    if (!block.parked.empty())
        fail(*block.parked.front(), "deadlock: waits for a barrier to which too few arrive%s", barrier);
    std::abort();
}

Thread &next_thread() {
    Warp *warp = block.current->warp;
    if (warp == nullptr || warp->ready == 0) {
        uint32_t candidates = block.ready_warps;
        if (candidates == 0) {
            if (block.live == 0) return block.host;
            report_deadlock();
        }
        for (uint32_t skip = random_bits() % __builtin_popcount(candidates); skip > 0; --skip)
            candidates &= candidates - 1;
        warp = &block.warps[__builtin_ctz(candidates)];
    }
    for (;;) {
        const uint32_t lane = ((warp->start + warp->step * warp->cursor++) & 31) ^ warp->flip;
        if (warp->ready >> lane & 1) return block.threads[warp->number * kLanes + lane];
    }
}

void change_thread() {
    Thread &self = *block.current, &next = next_thread();
    if (&next == &self) return;
    block.current = &next;
    threadIdx = next.index;
    switch_fiber(&self.fiber, next.fiber);
}

bool complete_if_met(Warp &warp, int index) {
    const Rendezvous met = warp.rendezvous[index];
    if (met.arrived != (met.mask & warp.live)) return false;
    complete(warp, met);
    warp.rendezvous[index] = warp.rendezvous[--warp.waiting];
    make_ready(warp, met.arrived);
    return true;
}

void release_barrier_if_met() {
    if (block.at_barrier != block.live) return;
    block.at_barrier = 0;
    for (int number = 0; number < block.num_warps; ++number) {
        Warp &warp = block.warps[number];
        make_ready(warp, warp.at_barrier);
        warp.at_barrier = 0;
    }
}

// Threads that returned are waited for no more.
void leave(Thread &thread) {
    Warp &warp = *thread.warp;
    stop(thread);
    warp.live &= ~bit(thread);
    --block.live;
    for (int index = 0; index < warp.waiting;)
        if (!complete_if_met(warp, index)) ++index;
    release_barrier_if_met();
}

void run_thread() noexcept {
    block.launch->run(block.launch->call);
    if (!block.current->copies.empty())
        fail(*block.current, "ends with %zu asynchronous copies that it has not waited for",
             block.current->copies.size());
    leave(*block.current);
    change_thread();
    __builtin_unreachable();
}

}  // namespace

void seed_order(uint64_t seed) {
    random_state = (seed + 1) * 0x9e3779b97f4a7c15u;
    if (random_state == 0) random_state = 1;
    for (int step = 0; step < 8; ++step) random_bits();
}

void run_block() {
    const int threads = static_cast<int>(blockDim.x * blockDim.y * blockDim.z);
    block.num_warps = (threads + kLanes - 1) / kLanes;
    block.live = threads;
    block.at_barrier = block.ready_warps = 0;
    for (NamedBarrier &named : block.named) named = {};
    block.current = &block.host;
    block.host.warp = nullptr;
    for (int number = 0; number < threads; ++number) {
        Thread &thread = block.threads[number];
        thread.warp = &block.warps[number / kLanes];
        thread.lane = number % kLanes;
        const unsigned n = number;
        thread.index = {n % blockDim.x, n / blockDim.x % blockDim.y, n / (blockDim.x * blockDim.y)};
        thread.fiber = make_fiber(stack_top(number), kStackBytes, run_thread);
        thread.committed = 0;
        thread.copies.clear();
    }
    for (int number = 0; number < block.num_warps; ++number) {
        Warp &warp = block.warps[number];
        const int lanes = threads - number * kLanes;
        warp.number = number;
        warp.live = lanes >= kLanes ? ~0u : (1u << lanes) - 1;
        warp.ready = warp.at_barrier = 0;
        warp.waiting = 0;
        make_ready(warp, warp.live);
    }
    change_thread();
}

void park() {
    Thread &self = *block.current;
    block.parked.push_back(&self);
    stop(self);
    change_thread();
}

void wake_parked() {
    for (Thread *thread : block.parked) make_ready(*thread->warp, bit(*thread));
    block.parked.clear();
}

void meet(Collective kind, uint32_t mask) {
    Thread &self = *block.current;
    Warp &warp = *self.warp;
    if ((mask & bit(self)) == 0) fail(self, "%s with mask 0x%08x, which does not name the lane", name(kind), mask);
    self.at = kind;
    self.mask = mask;
    const auto same = [&](const Rendezvous &other) { return other.kind == kind && other.mask == mask; };
    int index = 0;
    while (index < warp.waiting && !same(warp.rendezvous[index])) ++index;
    if (index == warp.waiting) warp.rendezvous[warp.waiting++] = {kind, mask, 0};
    warp.rendezvous[index].arrived |= bit(self);
    stop(self);
    complete_if_met(warp, index);
    change_thread();
}

}  // namespace attnexport::cpu

void __syncwarp(unsigned mask) { attnexport::cpu::meet(attnexport::cpu::Collective::kSyncWarp, mask); }

void __syncthreads() {
    using namespace attnexport::cpu;
    Thread &self = *block.current;
    self.at = Collective::kSyncThreads;
    self.mask = ~0u;
    self.warp->at_barrier |= bit(self);
    ++block.at_barrier;
    stop(self);
    release_barrier_if_met();
    change_thread();
}

void __trap() { attnexport::cpu::fail(*attnexport::cpu::block.current, "__trap"); }
