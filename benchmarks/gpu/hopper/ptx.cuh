// Hopper's instructions as functions: matrix products of a warpgroup, copies by the tensor memory unit, their barriers.
// Compiles for sm_90a alone.
#pragma once

#include <cuda.h>
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstdint>

namespace attnexport::hopper {

__device__ __forceinline__ uint32_t shared_address(const void *pointer) {
    return static_cast<uint32_t>(__cvta_generic_to_shared(pointer));
}

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
        "cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5}], [%2];" ::
            "r"(to),
        "l"(reinterpret_cast<uint64_t>(&map)), "r"(barrier), "r"(x), "r"(y), "r"(z)
        : "memory");
}

// `bytes`, a multiple of 16, into shared memory; adds them to the barrier.
__device__ __forceinline__ void copy_bytes(uint32_t to, const void *from, int bytes, uint32_t barrier) {
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(to),
                 "l"(from), "r"(bytes), "r"(barrier)
                 : "memory");
}

__device__ __forceinline__ float2 load_pair(uint32_t from) {
    float2 x;
    asm volatile("ld.shared.v2.f32 {%0, %1}, [%2];" : "=f"(x.x), "=f"(x.y) : "r"(from));
    return x;
}

__device__ __forceinline__ void store_box(const CUtensorMap &map, uint32_t from, int x, int y, int z) {
    asm volatile("cp.async.bulk.tensor.3d.global.shared::cta.bulk_group [%0, {%2, %3, %4}], [%1];" ::"l"(
                     reinterpret_cast<uint64_t>(&map)),
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

// Programmatic dependent launch: lets the next kernel begin; waits for the kernels before this one.
__device__ __forceinline__ void let_next_begin() { asm volatile("griddepcontrol.launch_dependents;" ::: "memory"); }
__device__ __forceinline__ void wait_for_previous() { asm volatile("griddepcontrol.wait;" ::: "memory"); }

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

template <class T>
struct Wgmma;

template <>
struct Wgmma<__half> {
#define ATTNEXPORT_TYPE "f16"
#include "wgmma_shapes.inc"
#undef ATTNEXPORT_TYPE

    static __device__ __forceinline__ uint32_t pack(float low, float high) {
        __half2 packed = __floats2half2_rn(low, high);
        return *reinterpret_cast<uint32_t *>(&packed);
    }
};

template <>
struct Wgmma<__nv_bfloat16> {
#define ATTNEXPORT_TYPE "bf16"
#include "wgmma_shapes.inc"
#undef ATTNEXPORT_TYPE

    static __device__ __forceinline__ uint32_t pack(float low, float high) {
        __nv_bfloat162 packed = __floats2bfloat162_rn(low, high);
        return *reinterpret_cast<uint32_t *>(&packed);
    }
};

// Four 8 x 8 matrices of 16-bit elements from mma fragments; thread t gives the address of row t % 8 of matrix t / 8.
__device__ __forceinline__ void store_matrix_x4(uint32_t address, const uint32_t (&x)[4]) {
    asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(address), "r"(x[0]),
                 "r"(x[1]), "r"(x[2]), "r"(x[3])
                 : "memory");
}

// 2^x for x <= 127 without the special function unit, to 7.5e-5 of the value; below 2^-126 that.
__device__ __forceinline__ float exp2_polynomial(float x) {
    constexpr float kRounder = 12582912.f;  // 1.5 * 2^23: adding it leaves the nearest integer in the low bits
    x = fmaxf(x, -126.f);
    const float whole = x + kRounder, rest = x - (whole - kRounder);
    const float power =
        fmaf(fmaf(fmaf(0.05517166853f, rest, 0.24261114001f), rest, 0.69326096773f), rest, 0.99992805719f);
    return __int_as_float(__float_as_int(power) + (__float_as_int(whole) << 23));
}

__device__ __forceinline__ float exp2_fast(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

}  // namespace attnexport::hopper
