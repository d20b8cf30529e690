// All that only nvcc understands: PTX, kernel launches and dynamic shared memory. A build of the kernels for the CPU
// replaces this header (plugins/tests/cpu).
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace attnexport {

// The block's dynamic shared memory.
__device__ __forceinline__ unsigned char *dynamic_shared() {
    extern __shared__ __align__(16) unsigned char memory[];
    return memory;
}

template <class... Params, class... Args>
cudaError_t launch_kernel(void (*kernel)(Params...), dim3 grid, dim3 block, size_t shared, cudaStream_t stream,
                          Args... args) {
    kernel<<<grid, block, shared, stream>>>(args...);
    return cudaGetLastError();
}

// The same behind a kernel that was launched just before, on a device with programmatic dependent launch: this one may
// begin as soon as that one allows it.
template <class... Params, class... Args>
cudaError_t launch_behind(void (*kernel)(Params...), dim3 grid, dim3 block, size_t shared, cudaStream_t stream,
                          Args... args) {
#if CUDART_VERSION >= 12030
    cudaLaunchAttribute overlap{};
    overlap.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    overlap.val.programmaticStreamSerializationAllowed = 1;
    cudaLaunchConfig_t config{};
    config.gridDim = grid;
    config.blockDim = block;
    config.dynamicSmemBytes = shared;
    config.stream = stream;
    config.attrs = &overlap;
    config.numAttrs = 1;
    return cudaLaunchKernelEx(&config, kernel, args...);
#else
    return launch_kernel(kernel, grid, block, shared, stream, args...);
#endif
}

// Address in the shared window, as the instructions below want it.
__device__ __forceinline__ uint32_t shared_address(const void *pointer) {
    return static_cast<uint32_t>(__cvta_generic_to_shared(pointer));
}

// Four 8 x 8 matrices of 16-bit elements; thread t gives the address of row t % 8 of matrix t / 8.
__device__ __forceinline__ void load_matrix_x4(uint32_t (&x)[4], uint32_t address) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3])
                 : "r"(address));
}

__device__ __forceinline__ void load_matrix_x4_transposed(uint32_t (&x)[4], uint32_t address) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3])
                 : "r"(address));
}

// c += a b for a 16 x 16 a, a 16 x 8 b and float sums.
__device__ __forceinline__ void mma_half(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, "
        "{%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

__device__ __forceinline__ void mma_bfloat16(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, "
        "{%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// Where x is at least `limit`, stores x and `tag` at `to` and moves it on by kStep pairs, within an aligned 4 GiB.
template <int kStep>
__device__ __forceinline__ void append_from(float limit, float x, int tag, float2 *&to) {
    // One addition of 32 bits, since a walk over scores does this for each of them.
    asm volatile(
        "{\n.reg .pred reaches;\n.reg .b32 low, high;\n"
        "setp.ge.f32 reaches, %1, %3;\n"
        "@reaches st.global.v2.b32 [%0], {%1, %2};\n"
        "mov.b64 {low, high}, %0;\n"
        "@reaches add.u32 low, low, %4;\n"
        "mov.b64 %0, {low, high};\n}\n"
        : "+l"(to)
        : "f"(x), "r"(tag), "f"(limit), "n"(kStep * static_cast<int>(sizeof(float2)))
        : "memory");
}

// Copies the first `bytes` (0 to 16) of 16 bytes and fills the rest with zeros, asynchronously.
__device__ __forceinline__ void copy_async_16(uint32_t to, const void *from, int bytes) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(bytes));
}

__device__ __forceinline__ void copy_async_4(uint32_t to, const void *from, int bytes) {
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(to), "l"(from), "r"(bytes));
}

__device__ __forceinline__ void commit_copies() { asm volatile("cp.async.commit_group;"); }

template <int kPending>
__device__ __forceinline__ void wait_for_copies() {
    asm volatile("cp.async.wait_group %0;" ::"n"(kPending));
}

// Programmatic dependent launch, where the device has it: lets the next kernel begin; waits for what the kernels before
// this one have written.
__device__ __forceinline__ void let_next_begin() {
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

__device__ __forceinline__ void wait_for_previous() {
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

__device__ __forceinline__ float exp2_fast(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

// The smaller and the larger; NaN where either is, which fminf and fmaxf drop.
__device__ __forceinline__ float min_or_nan(float x, float y) {
    float z;
    asm("min.NaN.f32 %0, %1, %2;" : "=f"(z) : "f"(x), "f"(y));
    return z;
}

__device__ __forceinline__ float max_or_nan(float x, float y) {
    float z;
    asm("max.NaN.f32 %0, %1, %2;" : "=f"(z) : "f"(x), "f"(y));
    return z;
}

__device__ __forceinline__ float square_root_fast(float x) {
    float y;
    asm("sqrt.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

}  // namespace attnexport
