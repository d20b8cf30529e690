// The block that runs: its threads are fibers, grouped in warps. Threads change places only where they wait.
#pragma once

#include "fiber.h"

#include <attnexport/cpu/collectives.h>
#include <attnexport/cpu/hopper.h>
#include <attnexport/cpu/launch.h>
#include <attnexport/cpu/threads.h>

#include <cstdint>
#include <vector>

#pragma GCC visibility push(hidden)

namespace attnexport::cpu {

constexpr int kLanes = 32, kMostThreads = 1024, kMostWarps = kMostThreads / kLanes;

struct Copy {
    const void *from;
    uint32_t to;
    uint32_t group;
    uint8_t bytes, size;
};

struct Warp;

struct Thread {
    Fiber fiber;
    Warp *warp;
    int lane;
    uint3 index;
    Collective at;  // where a thread that is not ready waits
    uint32_t mask;
    uint32_t committed;  // groups of copies
    std::vector<Copy> copies;
};

// What a lane brings to a collective.
struct Operand {
    uint64_t value;
    int source;
    uint32_t address;
    uint32_t *x;
    float *c;
    const uint32_t *a, *b;
    const Product *product;
};

// Of some threads; the generation counts how often they have met.
struct NamedBarrier {
    int arrived;
    uint32_t generation;
};

// Lanes that wait for each other.
struct Rendezvous {
    Collective kind;
    uint32_t mask;
    uint32_t arrived;
};

struct Warp {
    int number;
    uint32_t live, ready, at_barrier;    // sets of lanes
    uint32_t start, step, flip, cursor;  // order in which the ready lanes run
    int waiting;
    Rendezvous rendezvous[kLanes];
    Operand operands[kLanes];
    uint64_t results[kLanes];
};

struct Block {
    const Launch *launch;
    int launch_number;
    Thread *current;
    Thread host;
    int num_warps;
    uint32_t live, at_barrier;  // numbers of threads
    uint32_t ready_warps;       // set
    NamedBarrier named[16];
    std::vector<Thread *> parked;
    Warp warps[kMostWarps];
    Thread threads[kMostThreads];
};

extern Block block;

// Runs the block blockIdx of block.launch.
void run_block();
void seed_order(uint64_t seed);

// Waits until the live lanes of the mask have come to the same collective, whose results are then there.
void meet(Collective kind, uint32_t mask);

// Waits until another thread has called wake_parked(); what it waits for may be there then.
void park();
void wake_parked();

// Carries out a collective for the lanes that have met.
void complete(Warp &warp, const Rendezvous &rendezvous);
void multiply_group(Warp &warp);
void store_matrices(Warp &warp);

// Bytes of shared memory at an address; ends the process where they are outside or not aligned.
unsigned char *shared_at(const Thread &thread, uint32_t address, int bytes, const char *what);

const char *name(Collective kind);

// Prints one line that says where and what, and ends the process.
[[noreturn]] void fail(const Thread &thread, const char *format, ...) __attribute__((format(printf, 2, 3)));

// While one exists, a memory fault prints where it happened.
class FaultReports {
  public:
    FaultReports();
    ~FaultReports();
};

}  // namespace attnexport::cpu

#pragma GCC visibility pop
