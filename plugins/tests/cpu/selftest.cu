// Checks the emulator itself: every operation against plain loops, and that faulty kernels are caught.
#include <common/platform.cuh>
#include <sm90/launch.cuh>

#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

using namespace attnexport;

namespace {

int failures = 0;

void expect(bool holds, const char *what) {
    if (holds) return;
    std::printf("FAILED: %s\n", what);
    ++failures;
}

__device__ void multiply(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], __half) { mma_half(c, a, b); }
__device__ void multiply(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], __nv_bfloat16) {
    mma_bfloat16(c, a, b);
}

// c += a b for a (16, 16), and b (16, 16) stored as [n][k] or, transposed, as [k][n].
template <class T>
__global__ void product(const T *a, const T *b, float *c, bool transposed) {
    constexpr int kStride = 24;
    T *left = reinterpret_cast<T *>(dynamic_shared()), *right = left + 16 * kStride;
    const int lane = threadIdx.x, row = lane / 2, column = lane % 2 * 8;
    copy_async_16(shared_address(left + row * kStride + column), a + row * 16 + column, 16);
    copy_async_16(shared_address(right + row * kStride + column), b + row * 16 + column, 16);
    commit_copies();
    wait_for_copies<0>();
    __syncwarp();
    uint32_t x[4], y[4];
    load_matrix_x4(x, shared_address(left + lane % 16 * kStride + lane / 16 * 8));
    if (transposed)
        load_matrix_x4_transposed(y, shared_address(right + lane % 16 * kStride + lane / 16 * 8));
    else
        load_matrix_x4(y, shared_address(right + (lane % 8 + lane / 16 * 8) * kStride + lane / 8 % 2 * 8));
    for (int n = 0; n < 2; ++n) {
        float sums[4];
        for (int e = 0; e < 4; ++e) sums[e] = c[(lane / 4 + e / 2 * 8) * 16 + n * 8 + lane % 4 * 2 + e % 2];
        multiply(sums, x, {y[2 * n], y[2 * n + 1]}, T());
        for (int e = 0; e < 4; ++e) c[(lane / 4 + e / 2 * 8) * 16 + n * 8 + lane % 4 * 2 + e % 2] = sums[e];
    }
}

template <class T>
void check_product(bool transposed, const char *what) {
    alignas(16) T a[256], b[256];
    float c[256], wanted[256];
    for (int i = 0; i < 256; ++i) {
        a[i] = narrow<T>(static_cast<float>(i * 37 % 101 - 50) / 8.f);
        b[i] = narrow<T>(static_cast<float>(i * 53 % 97 - 48) / 4.f);
        c[i] = static_cast<float>(i);
    }
    for (int i = 0; i < 16; ++i)
        for (int j = 0; j < 16; ++j) {
            wanted[i * 16 + j] = c[i * 16 + j];
            for (int k = 0; k < 16; ++k)
                wanted[i * 16 + j] += widen(a[i * 16 + k]) * widen(transposed ? b[k * 16 + j] : b[j * 16 + k]);
        }
    const cudaError_t error = launch_kernel(product<T>, 1, 32, 2 * 16 * 24 * sizeof(T), nullptr, a, b, c, transposed);
    expect(error == cudaSuccess && std::memcmp(c, wanted, sizeof c) == 0, what);
}

__global__ void shuffles(int *out) {
    const int lane = threadIdx.x;
    out[lane] = __shfl_sync(~0u, lane, 5);
    out[32 + lane] = __shfl_sync(~0u, lane, lane + 1, 8);
    out[64 + lane] = __shfl_xor_sync(~0u, lane, 3);
    out[96 + lane] = static_cast<int>(__shfl_down_sync(~0u, static_cast<double>(lane), 4));
    out[128 + lane] = __shfl_up_sync(~0u, lane, 4, 16);
    if (lane % 2 == 0) out[160 + lane] = __shfl_xor_sync(0x55555555u, lane, 2);
    if (lane % 2 == 1) out[160 + lane] = __shfl_xor_sync(0xaaaaaaaau, lane, 4);
    out[192 + lane] = __any_sync(~0u, lane == 7) + 2 * __all_sync(~0u, lane != 7) + 4 * __all_sync(~0u, lane < 32);
    out[224 + lane] = static_cast<int>(__ballot_sync(~0u, lane % 3 == 0));
    out[256 + lane] = __reduce_add_sync(~0u, lane - 20);
    out[288 + lane] = static_cast<int>(__reduce_max_sync(~0u, static_cast<unsigned>(lane)));
    out[320 + lane] = __reduce_min_sync(~0u, lane - 20);
    if (lane >= 16) return;
    out[352 + lane] = __popc(__ballot_sync(~0u, 1));
}

void check_shuffles() {
    int out[384], multiples = 0;
    for (int lane = 0; lane < 32; lane += 3) multiples |= 1 << lane;
    launch_kernel(shuffles, 1, 32, 0, nullptr, out);
    bool right = true;
    for (int lane = 0; lane < 32; ++lane) {
        right &= out[lane] == 5 && out[32 + lane] == lane / 8 * 8 + (lane + 1) % 8 && out[64 + lane] == (lane ^ 3);
        right &= out[96 + lane] == (lane < 28 ? lane + 4 : lane);
        right &= out[128 + lane] == (lane % 16 >= 4 ? lane - 4 : lane);
        right &= out[160 + lane] == (lane % 2 == 0 ? lane ^ 2 : lane ^ 4);
        right &= out[192 + lane] == 5 && out[224 + lane] == multiples;
        right &= out[256 + lane] == -144 && out[288 + lane] == 31 && out[320 + lane] == -20;
        right &= lane >= 16 || out[352 + lane] == 16;
    }
    expect(right, "shuffles, votes and reductions");
}

// Sums over a block through static shared memory; the threads from 100 on return at once.
__global__ void block_sums(const int *x, int *out, bool with_barriers) {
    __shared__ int values[128];
    const int thread = threadIdx.x + blockDim.x * threadIdx.y;
    values[thread] = 0;
    if (with_barriers) __syncthreads();
    if (thread >= 100) return;
    values[(thread + 50) % 100] = x[blockIdx.x * 100 + thread];
    if (with_barriers) __syncthreads();
    for (int half = 64; half > 0; half /= 2) {
        if (thread < half) values[thread] += values[thread + half];
        if (with_barriers) __syncthreads();
    }
    if (thread == 0) out[blockIdx.x] = values[0];
}

bool block_sums_are_right(bool with_barriers) {
    std::vector<int> x(300);
    int out[3], wanted[3] = {};
    for (int i = 0; i < 300; ++i) wanted[i / 100] += x[i] = i * i;
    launch_kernel(block_sums, 3, dim3(32, 4), 0, nullptr, x.data(), out, with_barriers);
    return std::memcmp(out, wanted, sizeof out) == 0;
}

__global__ void neighbour(int *out, bool synchronised) {
    int *values = reinterpret_cast<int *>(dynamic_shared());
    values[threadIdx.x] = threadIdx.x;
    if (synchronised) __syncwarp();
    out[threadIdx.x] = values[threadIdx.x ^ 1];
}

bool neighbours_are_right(bool synchronised) {
    int out[64];
    launch_kernel(neighbour, 1, 64, sizeof out, nullptr, out, synchronised);
    for (int thread = 0; thread < 64; ++thread)
        if (out[thread] != (thread ^ 1)) return false;
    return true;
}

__global__ void copies(const uint32_t *source, uint32_t *out) {
    uint32_t *values = reinterpret_cast<uint32_t *>(dynamic_shared());
    const uint32_t base = shared_address(values);
    copy_async_16(base, source, 16);
    commit_copies();
    copy_async_16(base + 16, source + 4, 8);
    copy_async_4(base + 32, nullptr, 0);
    commit_copies();
    copy_async_4(base + 36, source, 4);
    out[0] = values[0];
    wait_for_copies<1>();
    out[1] = values[3];
    out[2] = values[4];
    wait_for_copies<0>();
    out[3] = values[5];
    out[4] = values[6];
    out[5] = values[8];
    out[6] = values[9];
    commit_copies();
    wait_for_copies<0>();
}

void check_copies() {
    alignas(16) const uint32_t source[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    uint32_t out[7];
    launch_kernel(copies, 1, 1, 40, nullptr, source, out);
    const uint32_t wanted[7] = {~0u, 4, ~0u, 6, 0, 0, ~0u};
    expect(std::memcmp(out, wanted, sizeof out) == 0, "copies wait for their group");
}

__global__ void atomics(int *out) {
    atomicAdd(out, 1);
    atomicMax(out + 1, static_cast<int>(threadIdx.x));
    atomicMin(out + 2, -static_cast<int>(threadIdx.x));
}

void check_atomics() {
    int out[3] = {};
    launch_kernel(atomics, dim3(2, 3, 2), dim3(10, 2, 3), 0, nullptr, out);
    expect(out[0] == 720 && out[1] == 9 && out[2] == -9, "atomics, grids and blocks of three dimensions");
}

// s = a b^T and o = s b for two (64, 64) matrices, as the Hopper kernels multiply; the last warp copies and stores.
template <class T>
__global__ void group_products(const CUtensorMap a, const CUtensorMap b, float *s, float *o, const CUtensorMap copy) {
    constexpr uint32_t kTile = 64 * 128, kBarrier = 2 * kTile;
    const uint32_t base = shared_address(dynamic_shared());
    if (threadIdx.x == 0) sm90::init_barrier(base + kBarrier, 1);
    __syncthreads();
    if (threadIdx.x == 128) {
        sm90::arrive_expecting(base + kBarrier, 2 * kTile);
        sm90::copy_box(base, a, base + kBarrier, 0, 0, 0);
        sm90::copy_box(base + kTile, b, base + kBarrier, 0, 0, 0);
    }
    if (threadIdx.x >= 128) {
        sm90::sync_some(3, 160);
        if (threadIdx.x == 128) sm90::store_box(copy, base, 0, 0, 0);
        return;
    }
    sm90::wait(base + kBarrier, 0);
    float scores[32], sums[32] = {};
    for (int depth = 0; depth < 4; ++depth)
        sm90::Wgmma<T>::multiply_shared(scores, sm90::matrix(base + depth * 32),
                                        sm90::matrix(base + kTile + depth * 32), depth > 0);
    for (int depth = 0; depth < 4; ++depth) {
        uint32_t left[4];
        for (int e = 0; e < 4; ++e) left[e] = Mma<T>::pack(scores[depth * 8 + e * 2], scores[depth * 8 + e * 2 + 1]);
        sm90::Wgmma<T>::multiply_registers(sums, left, sm90::matrix(base + kTile + depth * 16 * 128), true);
    }
    sm90::arrive_some(3, 160);
    for (int i = 0; i < 32; ++i) {
        const int row = threadIdx.x / 32 * 16 + i / 2 % 2 * 8 + threadIdx.x % 32 / 4;
        const int at = row * 64 + i / 4 * 8 + threadIdx.x % 4 * 2 + i % 2;
        s[at] = scores[i];
        o[at] = sums[i];
    }
}

// Of b the last 14 rows are missing, and 8 columns: they are read as zeros.
template <class T>
void check_group_products(const char *what) {
    constexpr int kRows = 50, kWidth = 56;
    std::vector<T> a(64 * 64), b(kRows * kWidth), copy(64 * 64);
    for (int i = 0; i < 64 * 64; ++i) a[i] = narrow<T>(static_cast<float>(i * 37 % 5 - 2));
    for (int i = 0; i < kRows * kWidth; ++i) b[i] = narrow<T>(static_cast<float>(i * 53 % 3 - 1));
    const auto right = [&](int row, int column) {
        return row < kRows && column < kWidth ? widen(b[row * kWidth + column]) : 0.f;
    };
    std::vector<float> s(64 * 64), o(64 * 64), wanted_s(64 * 64), wanted_o(64 * 64);
    for (int i = 0; i < 64; ++i)
        for (int j = 0; j < 64; ++j)
            for (int k = 0; k < 64; ++k) wanted_s[i * 64 + j] += widen(a[i * 64 + k]) * right(j, k);
    for (int i = 0; i < 64; ++i)
        for (int j = 0; j < 64; ++j)
            for (int k = 0; k < 64; ++k) wanted_o[i * 64 + j] += wanted_s[i * 64 + k] * right(k, j);
    CUtensorMap a_map, b_map, copy_map;
    const bool described = sm90::describe_tensor(&a_map, a.data(), 1, 64, 64, 64) &&
                           sm90::describe_tensor(&b_map, b.data(), 1, kRows, kWidth, 64) &&
                           sm90::describe_tensor(&copy_map, copy.data(), 1, 64, 64, 64);
    launch_kernel(group_products<T>, 1, 160, 2 * 64 * 128 + 8, nullptr, a_map, b_map, s.data(), o.data(), copy_map);
    expect(described && s == wanted_s && o == wanted_o, what);
    expect(std::memcmp(a.data(), copy.data(), a.size() * sizeof(T)) == 0, "boxes come back as they were");
}

__global__ void barrier_without_arrivals() {
    sm90::init_barrier(0, 1);
    sm90::wait(0, 0);
}

__global__ void barrier_of_too_many() {
    sm90::init_barrier(0, 1);
    sm90::arrive_expecting(0, 16);
    sm90::arrive(0);
}

__global__ void empty() {}

void check_refusals() {
    expect(launch_kernel(empty, 1, 1025, 0, nullptr) == cudaErrorInvalidConfiguration, "1025 threads");
    expect(cudaGetLastError() == cudaErrorInvalidConfiguration && cudaGetLastError() == cudaSuccess, "the last error");
    expect(launch_kernel(empty, 1, dim3(4, 0), 0, nullptr) != cudaSuccess, "no threads");
    expect(launch_kernel(empty, 0, 32, 0, nullptr) != cudaSuccess, "no blocks");
    expect(launch_kernel(empty, dim3(1, 65536), 32, 0, nullptr) != cudaSuccess, "65536 rows of blocks");
    expect(launch_kernel(empty, 1, 32, 60000, nullptr) != cudaSuccess, "shared memory that was not asked for");
    expect(cudaFuncSetAttribute(empty, cudaFuncAttributeMaxDynamicSharedMemorySize, 232448) == cudaSuccess, "227 KB");
    expect(launch_kernel(empty, 1, 32, 232448, nullptr) == cudaSuccess, "a launch with 227 KB");
    expect(launch_kernel(empty, 1, 32, 232449, nullptr) == cudaErrorInvalidConfiguration, "more than 227 KB");
}

__global__ void divergent_collectives(int *out) { *out = threadIdx.x < 16 ? __any_sync(~0u, 1) : __all_sync(~0u, 1); }

__global__ void missed_barrier(int *out) {
    if (threadIdx.x == 40) *out = __shfl_sync(~0u, 1, 0);
    __syncthreads();
}

__global__ void matrix_outside() {
    uint32_t x[4];
    load_matrix_x4(x, threadIdx.x * 16);
}

__global__ void matrix_of_few_lanes() {
    if (threadIdx.x == 31) return;
    uint32_t x[4];
    load_matrix_x4(x, 0);
}

__global__ void copy_outside(const uint32_t *source) {
    copy_async_16(shared_address(dynamic_shared()) + 496, source, 16);
}

__global__ void write_outside(int) { dynamic_shared()[512] = 1; }

__global__ void copy_left_behind(const uint32_t *from) {
    copy_async_16(16 * threadIdx.x, from, 16);
    wait_for_copies<0>();
}

__global__ void mask_without_lane(int *out) { *out = __shfl_sync(1u, 1, 0); }

// Runs the launch in a child process, which is to end by a signal after a line that holds `text`.
void expect_end(const std::function<void()> &launch, int signal, const char *text) {
    int ends[2];
    if (pipe(ends) != 0) std::abort();
    std::fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        launch();
        _exit(0);
    }
    close(ends[1]);
    std::string line;
    char piece[512];
    for (ssize_t count; (count = read(ends[0], piece, sizeof piece)) > 0;) line.append(piece, count);
    close(ends[0]);
    int status = 0;
    waitpid(child, &status, 0);
    expect(WIFSIGNALED(status) && WTERMSIG(status) == signal && line.find(text) != std::string::npos, text);
    std::printf("    %s", line.c_str());
}

template <class Kernel>
double nanoseconds(Kernel kernel, int blocks, int threads, int repeats) {
    float sink = 0.f;
    const auto start = std::chrono::steady_clock::now();
    launch_kernel(kernel, blocks, threads, 1024, nullptr, repeats, &sink);
    const std::chrono::duration<double, std::nano> spent = std::chrono::steady_clock::now() - start;
    return spent.count() / (static_cast<double>(blocks) * repeats);
}

__global__ void many_syncwarps(int repeats, float *) {
    for (int i = 0; i < repeats; ++i) __syncwarp();
}

__global__ void many_barriers(int repeats, float *) {
    for (int i = 0; i < repeats; ++i) __syncthreads();
}

__global__ void many_shuffles(int repeats, float *out) {
    float value = threadIdx.x;
    for (int i = 0; i < repeats; ++i) value += __shfl_xor_sync(~0u, value, 1);
    *out = value;
}

__global__ void many_loads(int repeats, float *) {
    uint32_t x[4];
    for (int i = 0; i < repeats; ++i) load_matrix_x4(x, threadIdx.x * 16);
}

__global__ void many_products(int repeats, float *out) {
    float c[4] = {};
    const uint32_t a[4] = {}, b[2] = {};
    for (int i = 0; i < repeats; ++i) mma_half(c, a, b);
    *out = c[0];
}

__global__ void nothing(int, float *) {}

void time_operations() {
    nanoseconds(many_products, 1, 32, 1000);
    std::printf("nanoseconds: __syncwarp %.0f (%.1f a lane)", nanoseconds(many_syncwarps, 1, 32, 100000),
                nanoseconds(many_syncwarps, 1, 32, 100000) / 32);
    std::printf(", __syncthreads of 128 %.0f", nanoseconds(many_barriers, 1, 128, 20000));
    std::printf(", shuffle %.0f", nanoseconds(many_shuffles, 1, 32, 100000));
    std::printf(", ldmatrix %.0f", nanoseconds(many_loads, 1, 32, 100000));
    std::printf(", mma %.0f", nanoseconds(many_products, 1, 32, 100000));
    std::printf(", block of 128 %.0f\n", nanoseconds(nothing, 10000, 128, 1));
}

}  // namespace

int main() {
    check_product<__half>(false, "half product, right operand [n][k]");
    check_product<__half>(true, "half product, right operand [k][n]");
    check_product<__nv_bfloat16>(false, "bfloat16 product, right operand [n][k]");
    check_product<__nv_bfloat16>(true, "bfloat16 product, right operand [k][n]");
    check_shuffles();
    expect(block_sums_are_right(true), "barriers");
    expect(!block_sums_are_right(false), "missing barriers show");
    expect(neighbours_are_right(true), "__syncwarp");
    expect(!neighbours_are_right(false), "a missing __syncwarp shows");
    check_copies();
    check_atomics();
    check_group_products<__half>("half products of a warpgroup");
    check_group_products<__nv_bfloat16>("bfloat16 products of a warpgroup");
    check_refusals();
    int out = 0;
    alignas(16) const uint32_t source[4] = {};
    expect_end([&] { launch_kernel(divergent_collectives, 1, 32, 0, nullptr, &out); }, SIGABRT, "is at __a");
    expect_end([&] { launch_kernel(missed_barrier, 1, 64, 0, nullptr, &out); }, SIGABRT, "wait at __syncthreads");
    expect_end([&] { launch_kernel(matrix_outside, 1, 32, 511, nullptr); }, SIGABRT, "outside of the 511 bytes");
    expect_end([&] { launch_kernel(matrix_of_few_lanes, 1, 32, 512, nullptr); }, SIGABRT, "without lanes 0x80000000");
    expect_end([&] { launch_kernel(copy_outside, 1, 32, 504, nullptr, source); }, SIGABRT, "copy_async at shared");
    expect_end([&] { launch_kernel(copy_left_behind, 1, 32, 512, nullptr, source); }, SIGABRT, "has not waited for");
    expect_end([&] { launch_kernel(write_outside, 1, 32, 512, nullptr, 0); }, SIGSEGV, "memory fault");
    expect_end([&] { launch_kernel(mask_without_lane, 1, 32, 0, nullptr, &out); }, SIGABRT, "does not name the lane");
    expect_end([&] { launch_kernel(barrier_without_arrivals, 1, 1, 8, nullptr); }, SIGABRT, "too few arrive");
    expect_end([&] { launch_kernel(barrier_of_too_many, 1, 1, 8, nullptr); }, SIGABRT, "more arrivals at mbarrier");
    time_operations();
    std::printf(failures == 0 ? "ok\n" : "%d failures\n", failures);
    return failures != 0;
}
