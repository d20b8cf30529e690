#include "block.h"

#include <attnexport/cpu/hopper.h>

#include <cuda_fp16.h>

#include <cstring>

namespace attnexport::cpu {

namespace {

// A barrier's eight bytes. A phase ends when all arrivals and all bytes have come.
struct Barrier {
    uint16_t arrivals : 15, phase : 1;
    int16_t missing;
    int32_t bytes;
};
static_assert(sizeof(Barrier) == 8);

Barrier &barrier_at(uint32_t address) {
    return *reinterpret_cast<Barrier *>(shared_at(*block.current, address, sizeof(Barrier), "mbarrier"));
}

void end_phase_if_complete(Barrier &barrier) {
    if (barrier.missing > 0 || barrier.bytes != 0) return;
    barrier.phase ^= 1;
    barrier.missing = static_cast<int16_t>(barrier.arrivals);
    wake_parked();
}

// What the emulator's encoder makes of a tensor map.
struct Box {
    unsigned char *data;
    uint64_t sizes[3], strides[2];  // elements; bytes
    uint32_t rows;
};
static_assert(sizeof(Box) <= sizeof(CUtensorMap));

constexpr int kRowBytes = 128, kPieceBytes = 16;

uint32_t swizzled(uint32_t address) { return address ^ ((address / kRowBytes % 8) * kPieceBytes); }

// Calls f(shared memory, tensor memory or null where there is none) for every piece of a box.
template <class F>
void for_pieces(const CUtensorMap &map, uint32_t address, int x, int y, int z, F f) {
    Box box;
    std::memcpy(&box, &map, sizeof(Box));
    for (int64_t row = 0; row < box.rows; ++row)
        for (int piece = 0; piece < kRowBytes / kPieceBytes; ++piece) {
            const uint32_t at = address + static_cast<uint32_t>(row * kRowBytes + piece * kPieceBytes);
            const bool inside = y + row < static_cast<int64_t>(box.sizes[1]) &&
                                x + piece * kPieceBytes / 2 < static_cast<int64_t>(box.sizes[0]);
            unsigned char *tensor =
                box.data + x * 2 + piece * kPieceBytes + (y + row) * box.strides[0] + z * box.strides[1];
            f(shared_at(*block.current, swizzled(at), kPieceBytes, "cp.async.bulk.tensor"), inside ? tensor : nullptr);
        }
}

float element(const Thread &thread, uint32_t address, bool is_bfloat16) {
    uint16_t bits;
    std::memcpy(&bits, shared_at(thread, address, 2, "wgmma"), 2);
    if (!is_bfloat16) return __half2float(__half_raw{bits});
    const uint32_t wide = static_cast<uint32_t>(bits) << 16;
    float value;
    std::memcpy(&value, &wide, sizeof value);
    return value;
}

// Element (row, k) of an operand whose depth lies along its rows.
uint32_t place(const Matrix &m, int row, int k) {
    if (!m.swizzled) return m.address + row / 8 * 128 + row % 8 * 16 + k / 8 * m.beside + k % 8 * 2;
    return swizzled(m.address + row * kRowBytes + k * 2);
}

// Element (k, column) of an operand whose columns lie along its rows.
uint32_t place_across(const Matrix &m, int k, int column) {
    return swizzled(m.address + k * kRowBytes + column / 64 * m.beside + column % 64 * 2);
}

float half_of(uint32_t pair, int e, bool is_bfloat16) {
    const uint16_t bits = static_cast<uint16_t>(pair >> (16 * e));
    if (!is_bfloat16) return __half2float(__half_raw{bits});
    const uint32_t wide = static_cast<uint32_t>(bits) << 16;
    float value;
    std::memcpy(&value, &wide, sizeof value);
    return value;
}

// The warp's 16 rows of the left operand.
void read_left(const Warp &warp, float (&a)[16][16]) {
    for (int lane = 0; lane < kLanes; ++lane) {
        const Product &own = *warp.operands[lane].product;
        for (int part = 0; part < 4; ++part)
            for (int e = 0; e < 2; ++e) {
                const int row = lane / 4 + part % 2 * 8, k = lane % 4 * 2 + part / 2 * 8 + e;
                a[row][k] = own.registers != nullptr
                                ? half_of(own.registers[part], e, own.is_bfloat16)
                                : element(*block.current, place(own.a, warp.number % 4 * 16 + row, k), own.is_bfloat16);
            }
    }
}

}  // namespace

void init_barrier(uint32_t barrier, int arrivals) {
    barrier_at(barrier) = {static_cast<uint16_t>(arrivals), 0, static_cast<int16_t>(arrivals), 0};
}

void arrive(uint32_t barrier, int expected_bytes) {
    Barrier &at = barrier_at(barrier);
    at.bytes += expected_bytes;
    if (--at.missing < 0) fail(*block.current, "more arrivals at mbarrier %u than its phase has", barrier);
    end_phase_if_complete(at);
}

void wait(uint32_t barrier, int parity) {
    while (barrier_at(barrier).phase == parity) park();
}

void arrive_some(int barrier, int threads) {
    NamedBarrier &at = block.named[barrier];
    if (++at.arrived < threads) return;
    at.arrived = 0;
    ++at.generation;
    wake_parked();
}

void sync_some(int barrier, int threads) {
    const uint32_t generation = block.named[barrier].generation;
    arrive_some(barrier, threads);
    while (block.named[barrier].generation == generation) park();
}

void copy_box(uint32_t to, const CUtensorMap &map, uint32_t barrier, int x, int y, int z) {
    int bytes = 0;
    for_pieces(map, to, x, y, z, [&](unsigned char *shared, const unsigned char *tensor) {
        if (tensor != nullptr)
            std::memcpy(shared, tensor, kPieceBytes);
        else
            std::memset(shared, 0, kPieceBytes);
        bytes += kPieceBytes;
    });
    Barrier &at = barrier_at(barrier);
    at.bytes -= bytes;
    end_phase_if_complete(at);
}

void store_box(const CUtensorMap &map, uint32_t from, int x, int y, int z) {
    for_pieces(map, from, x, y, z, [](const unsigned char *shared, unsigned char *tensor) {
        if (tensor != nullptr) std::memcpy(tensor, shared, kPieceBytes);
    });
}

void multiply(const Product &product) {
    block.current->warp->operands[block.current->lane].product = &product;
    meet(Collective::kWgmma, ~0u);
}

void multiply_group(Warp &warp) {
    const Product &first = *warp.operands[0].product;
    float a[16][16], b[16][256];
    read_left(warp, a);
    for (int k = 0; k < 16; ++k)
        for (int column = 0; column < first.columns; ++column)
            b[k][column] =
                element(*block.current,
                        first.registers != nullptr ? place_across(first.b, k, column) : place(first.b, column, k),
                        first.is_bfloat16);
    for (int row = 0; row < 16; ++row) {
        float sums[256] = {};
        for (int k = 0; k < 16; ++k)
            for (int column = 0; column < first.columns; ++column) sums[column] += a[row][k] * b[k][column];
        for (int lane = row % 8 * 4; lane < row % 8 * 4 + 4; ++lane) {
            const Product &own = *warp.operands[lane].product;
            for (int i = row / 8 * 2; i < own.columns / 2; i += 4)
                for (int e = 0; e < 2; ++e)
                    own.d[i + e] = (own.adds ? own.d[i + e] : 0.f) + sums[i / 4 * 8 + lane % 4 * 2 + e];
        }
    }
}

void store_matrix(uint32_t address, const uint32_t *x) {
    Operand &own = block.current->warp->operands[block.current->lane];
    own.address = address;
    own.a = x;
    meet(Collective::kStoreMatrix, ~0u);
}

// Lane 8 m + r addresses row r of matrix m; a lane brings two neighbours of row lane / 4.
void store_matrices(Warp &warp) {
    for (int lane = 0; lane < kLanes; ++lane)
        for (int m = 0; m < 4; ++m) {
            const Operand &row = warp.operands[m * 8 + lane / 4];
            unsigned char *to = shared_at(*block.current, row.address, 16, name(Collective::kStoreMatrix));
            std::memcpy(to + lane % 4 * 4, &warp.operands[lane].a[m], 4);
        }
}

void flip_signs(uint32_t address) {
    uint32_t pair;
    unsigned char *at = shared_at(*block.current, address, 4, "ld.shared");
    std::memcpy(&pair, at, 4);
    pair ^= 0x80008000u;
    std::memcpy(at, &pair, 4);
}

}  // namespace attnexport::cpu

namespace {

// Tensors of 16-bit elements in boxes of 64 columns, as the kernels describe them.
CUresult encode(CUtensorMap *map, CUtensorMapDataType, cuuint32_t rank, void *data, const cuuint64_t *sizes,
                const cuuint64_t *strides, const cuuint32_t *box, const cuuint32_t *, CUtensorMapInterleave,
                CUtensorMapSwizzle swizzle, CUtensorMapL2promotion, CUtensorMapFloatOOBfill) {
    const bool known =
        rank == 3 && box[0] == 64 && box[1] <= 256 && box[2] == 1 && swizzle == CU_TENSOR_MAP_SWIZZLE_128B;
    if (!known || reinterpret_cast<uintptr_t>(data) % 16 != 0 || strides[0] % 16 != 0) return CUDA_ERROR_INVALID_VALUE;
    const attnexport::cpu::Box made{
        static_cast<unsigned char *>(data), {sizes[0], sizes[1], sizes[2]}, {strides[0], strides[1]}, box[1]};
    std::memcpy(map, &made, sizeof made);
    return CUDA_SUCCESS;
}

}  // namespace

#if CUDART_VERSION >= 12050
cudaError_t cudaGetDriverEntryPointByVersion(const char *, void **function, unsigned, unsigned long long,
                                             cudaDriverEntryPointQueryResult *result) {
#else
cudaError_t cudaGetDriverEntryPoint(const char *, void **function, unsigned long long,
                                    cudaDriverEntryPointQueryResult *result) {
#endif
    *function = reinterpret_cast<void *>(&encode);
    *result = cudaDriverEntryPointSuccess;
    return cudaSuccess;
}
