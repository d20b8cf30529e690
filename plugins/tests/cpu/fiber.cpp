#include "fiber.h"

#if defined(__x86_64__) && !defined(ATTNEXPORT_CPU_BOOST_CONTEXT)

namespace attnexport::cpu {

// Unlike Boost's, this leaves the floating point control words alone, which are slow to load, and returns with the
// instruction that the processor predicts: lanes mostly stand at the same place.
__attribute__((naked)) void switch_fiber(Fiber *, Fiber) {
    asm(R"(
        pushq %rbp
        pushq %rbx
        pushq %r12
        pushq %r13
        pushq %r14
        pushq %r15
        movq %rsp, (%rdi)
        movq %rsi, %rsp
        popq %r15
        popq %r14
        popq %r13
        popq %r12
        popq %rbx
        popq %rbp
        ret
    )");
}

Fiber make_fiber(void *stack_top, size_t, void (*begin)()) {
    constexpr int kSavedRegisters = 6;
    void **top = static_cast<void **>(stack_top);
    *--top = nullptr;  // the return address of `begin`
    *--top = reinterpret_cast<void *>(begin);
    for (int i = 0; i < kSavedRegisters; ++i) *--top = nullptr;
    return top;
}

}  // namespace attnexport::cpu

#else

#include <boost/context/detail/fcontext.hpp>

namespace attnexport::cpu {

namespace context = boost::context::detail;

namespace {

void (*begin_of_all)();

// Whoever is resumed notes where the one who left goes on.
void note_left(context::transfer_t transfer) { *static_cast<Fiber *>(transfer.data) = transfer.fctx; }

void run_fiber(context::transfer_t transfer) {
    note_left(transfer);
    begin_of_all();
}

}  // namespace

void switch_fiber(Fiber *from, Fiber to) { note_left(context::jump_fcontext(to, from)); }

Fiber make_fiber(void *stack_top, size_t stack_bytes, void (*begin)()) {
    begin_of_all = begin;
    return context::make_fcontext(stack_top, stack_bytes, run_fiber);
}

}  // namespace attnexport::cpu

#endif
