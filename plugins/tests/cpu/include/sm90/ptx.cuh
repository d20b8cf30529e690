// The counterpart of the Hopper kernels' instructions for plain C++, carried out by the emulator of plugins/tests/cpu.
#pragma once

#include <forward/mma.cuh>

#include <attnexport/cpu/hopper.h>

namespace attnexport::sm90 {

using cpu::copy_box;
using cpu::flip_signs;
using cpu::init_barrier;
using cpu::store_box;
using cpu::wait;

inline void arrive(uint32_t barrier) { cpu::arrive(barrier); }
inline void arrive_expecting(uint32_t barrier, int bytes) { cpu::arrive(barrier, bytes); }
inline void sync_some(int barrier, int threads) { cpu::sync_some(barrier, threads); }
inline void arrive_some(int barrier, int threads) { cpu::arrive_some(barrier, threads); }
inline void store_matrix_x4(uint32_t address, const uint32_t (&x)[4]) { cpu::store_matrix(address, x); }

// Copies and products are carried out where they are asked for, in the order of the program.
inline void fence_barriers() {}
inline void fence_async() {}
inline void commit_stores() {}
inline void wait_for_store_reads() {}
inline void begin_products() {}
inline void commit_products() {}
template <int kPending>
void wait_for_products() {}
template <int kRegisters>
void take_registers() {}
template <int kRegisters>
void give_registers() {}
template <class Registers>
void pin(Registers &) {}

inline cpu::Matrix matrix(uint32_t address, uint32_t beside = 16) { return {address, beside, true}; }
inline cpu::Matrix moved(cpu::Matrix matrix, uint32_t bytes) {
    matrix.address += bytes;
    return matrix;
}
inline cpu::Matrix matrix_of_pieces(uint32_t address, uint32_t beside) { return {address, beside, false}; }

template <class T>
struct Wgmma {
    static constexpr bool kBfloat16 = std::is_same_v<T, __nv_bfloat16>;

    template <int kOwn>
    static void multiply_shared(float (&d)[kOwn], const cpu::Matrix &a, const cpu::Matrix &b, bool adds) {
        cpu::multiply({d, kOwn * 2, a, nullptr, b, adds, kBfloat16});
    }

    template <int kOwn>
    static void multiply_registers(float (&d)[kOwn], const uint32_t (&a)[4], const cpu::Matrix &b, bool adds) {
        cpu::multiply({d, kOwn * 2, {}, a, b, adds, kBfloat16});
    }
};

}  // namespace attnexport::sm90
