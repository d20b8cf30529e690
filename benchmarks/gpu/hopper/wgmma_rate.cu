// What wgmma reaches: products of one block a multiprocessor on random numbers, nothing else in the loop.
//   nvcc -std=c++17 -O3 -DNDEBUG -gencode=arch=compute_90a,code=sm_90a \
//       -Iplugins/kernels -Iplugins/include -o wgmma_rate benchmarks/gpu/hopper/wgmma_rate.cu && ./wgmma_rate
#include <sm90/ptx.cuh>

#include <cstdio>
#include <cstdlib>

using namespace attnexport;
using namespace attnexport::sm90;

#define CHECK(call)                                                            \
    do {                                                                       \
        if (const cudaError_t error = (call); error != cudaSuccess) {          \
            std::printf("line %d: %s\n", __LINE__, cudaGetErrorString(error)); \
            std::exit(1);                                                      \
        }                                                                      \
    } while (0)

// Eight products of depth 16 a step and warpgroup; the left operand from shared memory or from registers.
template <int kColumns, bool kFromRegisters>
__global__ void __launch_bounds__(512, 1) multiply(int steps, float *result, long long *cycles) {
    extern __shared__ unsigned char memory[];
    const uint32_t shared = (shared_address(memory) + 1023) & ~1023u;
    __half *numbers = reinterpret_cast<__half *>(memory);
    for (int at = threadIdx.x; at < 64 * 1024; at += blockDim.x)
        numbers[at] = __float2half(static_cast<int>((at * 2654435761u >> 16) % 2048) / 1024.f - 1.f);
    fence_async();
    __syncthreads();
    float sums[kColumns / 2] = {};
    uint32_t left[8][4];
    for (int depth = 0; depth < 8; ++depth)
        for (int e = 0; e < 4; ++e)
            left[depth][e] = reinterpret_cast<uint32_t *>(memory)[(threadIdx.x * 37 + depth * 4 + e) % 32768];
    const uint32_t own = shared + threadIdx.x / 128 * 8192, right = shared + 32768;
    const long long start = clock64();
    for (int step = 0; step < steps; ++step) {
        pin(sums);
        begin_products();
#pragma unroll
        for (int depth = 0; depth < 8; ++depth) {
            if (kFromRegisters)
                Wgmma<__half>::multiply_registers(sums, left[depth], matrix(right + depth * 2048, 16384), true);
            else
                Wgmma<__half>::multiply_shared(sums, matrix(own + depth % 4 * 32),
                                               matrix(right + depth / 4 * 16384 + depth % 4 * 32), true);
        }
        commit_products();
        wait_for_products<0>();
        pin(sums);
    }
    if (blockIdx.x == 0 && threadIdx.x == 0) *cycles = clock64() - start;
    float sum = 0.f;
    for (float x : sums) sum += x;
    if (sum == 12345.f) *result = sum;
}

template <int kColumns, bool kFromRegisters>
void measure(int warpgroups) {
    constexpr int kSteps = 40000, kBytes = 128 * 1024 + 1024;
    const auto kernel = multiply<kColumns, kFromRegisters>;
    CHECK(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes));
    int multiprocessors;
    CHECK(cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, 0));
    float *result;
    long long *cycles, counted;
    CHECK(cudaMalloc(&result, sizeof(float)));
    CHECK(cudaMalloc(&cycles, sizeof(long long)));
    cudaEvent_t start, end;
    CHECK(cudaEventCreate(&start));
    CHECK(cudaEventCreate(&end));
    float milliseconds = 0.f;
    for (int run = 0; run < 3; ++run) {
        CHECK(cudaEventRecord(start));
        kernel<<<multiprocessors, 128 * warpgroups, kBytes>>>(kSteps, result, cycles);
        CHECK(cudaEventRecord(end));
        CHECK(cudaEventSynchronize(end));
        CHECK(cudaGetLastError());
        CHECK(cudaEventElapsedTime(&milliseconds, start, end));
    }
    CHECK(cudaMemcpy(&counted, cycles, sizeof counted, cudaMemcpyDeviceToHost));
    const double flops = 2. * 64 * kColumns * 16 * 8 * kSteps * warpgroups * multiprocessors;
    std::printf("| m64n%dk16 | %s | %d | %.0f | %.2f | %.1f |\n", kColumns, kFromRegisters ? "registers" : "shared",
                warpgroups, flops / milliseconds * 1e-9, counted / milliseconds * 1e-6, milliseconds);
}

int main() {
    std::printf(
        "| product | left operand | warpgroups an SM | TFLOP/s | clock, GHz | ms |\n|---|---|---:|---:|---:|---:|\n");
    for (int warpgroups = 1; warpgroups <= 4; ++warpgroups) {
        measure<128, false>(warpgroups);
        measure<64, true>(warpgroups);
        measure<128, true>(warpgroups);
    }
}
