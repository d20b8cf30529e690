#include "block.h"

#include <signal.h>
#include <unistd.h>

#include <cstdarg>
#include <cstdio>
#include <cstdlib>

namespace attnexport::cpu {

namespace {

struct sigaction before_fault, before_bus_error;
stack_t before_stack;
alignas(16) unsigned char signal_stack[32 << 10];

int print_place(char *text, size_t size, const Thread &thread) {
    int length = std::snprintf(text, size, "attnexport cpu: kernel launch %d, block (%u, %u, %u)", block.launch_number,
                               blockIdx.x, blockIdx.y, blockIdx.z);
    if (thread.warp != nullptr)
        length += std::snprintf(text + length, size - length, ", warp %d, lane %d", thread.warp->number, thread.lane);
    return length;
}

// The former handler gets the fault when the instruction is tried again.
void report_fault(int, siginfo_t *info, void *) {
    char line[256];
    int length = print_place(line, sizeof line, *block.current);
    length += std::snprintf(line + length, sizeof line - length, ": memory fault at %p, dynamic shared memory at %p\n",
                            info->si_addr, static_cast<void *>(dynamic_shared_memory));
    if (write(STDERR_FILENO, line, length) < 0) _exit(1);
    sigaction(SIGSEGV, &before_fault, nullptr);
    sigaction(SIGBUS, &before_bus_error, nullptr);
}

}  // namespace

FaultReports::FaultReports() {
    stack_t stack{};
    stack.ss_sp = signal_stack;
    stack.ss_size = sizeof signal_stack;
    sigaltstack(&stack, &before_stack);
    struct sigaction action{};
    action.sa_sigaction = report_fault;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigaction(SIGSEGV, &action, &before_fault);
    sigaction(SIGBUS, &action, &before_bus_error);
}

FaultReports::~FaultReports() {
    sigaction(SIGSEGV, &before_fault, nullptr);
    sigaction(SIGBUS, &before_bus_error, nullptr);
    sigaltstack(&before_stack, nullptr);
}

const char *name(Collective kind) {
    static const char *const names[] = {
        "__syncthreads",     "__syncwarp",        "__shfl_sync",       "__shfl_xor_sync",  "__shfl_up_sync",
        "__shfl_down_sync",  "__any_sync",        "__all_sync",        "__ballot_sync",    "__reduce_add_sync",
        "__reduce_min_sync", "__reduce_max_sync", "__reduce_and_sync", "__reduce_or_sync", "__reduce_xor_sync",
        "ldmatrix",          "ldmatrix.trans",    "mma (half)",        "mma (bfloat16)",   "wgmma",
        "stmatrix",
    };
    return names[static_cast<int>(kind)];
}

void fail(const Thread &thread, const char *format, ...) {
    char line[512];
    int length = print_place(line, sizeof line, thread);
    length += std::snprintf(line + length, sizeof line - length, ": ");
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(line + length, sizeof line - length, format, arguments);
    va_end(arguments);
    std::fprintf(stderr, "%s\n", line);
    std::abort();
}

}  // namespace attnexport::cpu
