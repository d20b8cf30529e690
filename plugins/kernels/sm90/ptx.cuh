// Hopper's instructions as functions: matrix products of a warpgroup, copies by the tensor memory unit, their barriers.
// Compiles for sm_90a alone.
#pragma once

#include <forward/mma.cuh>

#include <cuda.h>

namespace attnexport::sm90 {

// Barriers in shared memory. A phase ends when `arrivals` have come and all expected bytes are there.
__device__ __forceinline__ void init_barrier(uint32_t barrier, int arrivals) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(arrivals));
}

// Makes initialised barriers known to the copy unit.
__device__ __forceinline__ void fence_barriers() { asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory"); }

__device__ __forceinline__ void arrive(uint32_t barrier) {
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(barrier) : "memory");
}

__device__ __forceinline__ void arrive_expecting(uint32_t barrier, int bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes) : "memory");
}

// Until the phase of this parity has ended.
__device__ __forceinline__ void wait(uint32_t barrier, int parity) {
    asm volatile(
        "{\n.reg .pred done;\nagain:\n"
        "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
        "@done bra.uni finished;\nbra.uni again;\nfinished:\n}\n" ::"r"(barrier),
        "r"(parity)
        : "memory");
}

// A box of a three-dimensional tensor into shared memory; adds its bytes to the barrier.
__device__ __forceinline__ void copy_box(uint32_t to, const CUtensorMap &map, uint32_t barrier, int x, int y, int z) {
    asm volatile(
        "cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::"
        "complete_tx::bytes [%0], [%1, {%3, %4, %5}], [%2];" ::"r"(to),
        "l"(reinterpret_cast<uint64_t>(&map)), "r"(barrier), "r"(x), "r"(y), "r"(z)
        : "memory");
}

// Flips the signs of two 16-bit floats in shared memory.
__device__ __forceinline__ void flip_signs(uint32_t at) {
    asm volatile(
        "{\n.reg .b32 pair;\nld.shared.b32 pair, [%0];\nxor.b32 pair, "
        "pair, 0x80008000;\nst.shared.b32 [%0], pair;\n}\n" ::"r"(at)
        : "memory");
}

__device__ __forceinline__ void store_box(const CUtensorMap &map, uint32_t from, int x, int y, int z) {
    asm volatile(
        "cp.async.bulk.tensor.3d.global.shared::cta.bulk_group [%0, "
        "{%2, %3, %4}], [%1];" ::"l"(reinterpret_cast<uint64_t>(&map)),
        "r"(from), "r"(x), "r"(y), "r"(z)
        : "memory");
}

__device__ __forceinline__ void commit_stores() { asm volatile("cp.async.bulk.commit_group;" ::: "memory"); }

// Until the shared memory of all stores has been read.
__device__ __forceinline__ void wait_for_store_reads() {
    asm volatile("cp.async.bulk.wait_group.read 0;" ::: "memory");
}

// What ordinary stores wrote to shared memory, before the copy unit or the tensor cores read it.
__device__ __forceinline__ void fence_async() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

__device__ __forceinline__ void prefetch(const CUtensorMap &map) {
    asm volatile("prefetch.tensormap [%0];" ::"l"(reinterpret_cast<uint64_t>(&map)) : "memory");
}

// Barriers of some of a block's threads; 0 is __syncthreads.
__device__ __forceinline__ void sync_some(int barrier, int threads) {
    asm volatile("bar.sync %0, %1;" ::"r"(barrier), "r"(threads) : "memory");
}

__device__ __forceinline__ void arrive_some(int barrier, int threads) {
    asm volatile("bar.arrive %0, %1;" ::"r"(barrier), "r"(threads) : "memory");
}

template <int kRegisters>
__device__ __forceinline__ void take_registers() {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kRegisters));
}

template <int kRegisters>
__device__ __forceinline__ void give_registers() {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kRegisters));
}

// Products of a warpgroup: begin, any number of multiplications, commit, wait until at most kPending groups run.
__device__ __forceinline__ void begin_products() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ __forceinline__ void commit_products() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }

template <int kPending>
__device__ __forceinline__ void wait_for_products() {
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
}

// Keeps the compiler from moving accesses of registers that a product reads or writes across this place.
template <int kCount>
__device__ __forceinline__ void pin(float (&x)[kCount]) {
#pragma unroll
    for (int i = 0; i < kCount; ++i) asm volatile("" : "+f"(x[i])::"memory");
}

template <int kCount>
__device__ __forceinline__ void pin(uint32_t (&x)[kCount][4]) {
#pragma unroll
    for (int i = 0; i < kCount; ++i)
#pragma unroll
        for (int e = 0; e < 4; ++e) asm volatile("" : "+r"(x[i][e])::"memory");
}

// Describes a matrix in shared memory whose rows of 64 elements (128 bytes) the copy unit swizzled by 128 bytes. Eight
// rows are 1024 bytes; `beside` is the distance in bytes of the next 64 columns where the operand's width runs along
// the rows.
__device__ __forceinline__ uint64_t matrix(uint32_t address, uint32_t beside = 16) {
    constexpr uint64_t kSwizzle128 = 1ull << 62, kEightRows = 1024 / 16;
    return kSwizzle128 | kEightRows << 32 | static_cast<uint64_t>(beside / 16) << 16 | (address & 0x3ffff) / 16;
}

// The same for a (rows, 16) matrix of 8 x 8 pieces of 128 bytes each: the pieces of the first eight columns follow one
// another, then those of the others, `beside` bytes behind the first.
__device__ __forceinline__ uint64_t matrix_of_pieces(uint32_t address, uint32_t beside) {
    constexpr uint64_t kPiece = 128 / 16;
    return kPiece << 32 | static_cast<uint64_t>(beside / 16) << 16 | (address & 0x3ffff) / 16;
}

// The same matrix so many bytes further on.
__device__ __forceinline__ uint64_t moved(uint64_t matrix, uint32_t bytes) { return matrix + bytes / 16; }

template <class T>
struct Wgmma;

template <>
struct Wgmma<__half>{
#define ATTNEXPORT_TYPE "f16"
#include <sm90/wgmma_shapes.inc>
#undef ATTNEXPORT_TYPE
};

template <>
struct Wgmma<__nv_bfloat16>{
#define ATTNEXPORT_TYPE "bf16"
#include <sm90/wgmma_shapes.inc>
#undef ATTNEXPORT_TYPE
};

// Four 8 x 8 matrices of 16-bit elements from mma fragments; thread t gives the address of row t % 8 of matrix t / 8.
__device__ __forceinline__ void store_matrix_x4(uint32_t address, const uint32_t (&x)[4]) {
    asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(address), "r"(x[0]),
                 "r"(x[1]), "r"(x[2]), "r"(x[3])
                 : "memory");
}

}  // namespace attnexport::sm90
