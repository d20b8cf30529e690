#include "block.h"

#include <cuda_fp16.h>

#include <cstring>

namespace attnexport::cpu {

namespace {

// What a shuffle gives that reads from a lane which did not take part.
constexpr uint64_t kUndefined = ~uint64_t{0};

typedef float Columns __attribute__((vector_size(32)));  // the 8 columns of a row

template <class Function>
void for_each(uint32_t lanes, Function function) {
    for (; lanes != 0; lanes &= lanes - 1) function(__builtin_ctz(lanes));
}

Operand &own_operand() { return block.current->warp->operands[block.current->lane]; }
uint64_t own_result() { return block.current->warp->results[block.current->lane]; }

int source_lane(Collective kind, int lane, int argument, int width) {
    const int first = lane & ~(width - 1), last = first + width - 1;
    switch (kind) {
        case Collective::kShuffle: return first | (argument & (width - 1));
        case Collective::kShuffleXor: return (lane ^ argument) <= last ? (lane ^ argument) & 31 : lane;
        case Collective::kShuffleUp: return lane - argument >= first ? lane - argument : lane;
        default: return lane + argument <= last ? lane + argument : lane;
    }
}

void exchange(Warp &warp, uint32_t lanes) {
    for_each(lanes, [&](int lane) {
        const int source = warp.operands[lane].source;
        warp.results[lane] = lanes >> source & 1 ? warp.operands[source].value : kUndefined;
    });
}

void count_votes(Warp &warp, Collective kind, uint32_t lanes) {
    uint32_t votes = 0;
    for_each(lanes, [&](int lane) { votes |= static_cast<uint32_t>(warp.operands[lane].value) << lane; });
    uint32_t result = votes;
    if (kind == Collective::kAny) result = votes != 0;
    if (kind == Collective::kAll) result = votes == lanes;
    for_each(lanes, [&](int lane) { warp.results[lane] = result; });
}

int64_t join(Collective kind, int64_t x, int64_t y) {
    switch (kind) {
        case Collective::kReduceAdd: return x + y;
        case Collective::kReduceMin: return x < y ? x : y;
        case Collective::kReduceMax: return x < y ? y : x;
        case Collective::kReduceAnd: return x & y;
        case Collective::kReduceOr: return x | y;
        default: return x ^ y;
    }
}

void join_all(Warp &warp, Collective kind, uint32_t lanes) {
    int64_t joined = static_cast<int64_t>(warp.operands[__builtin_ctz(lanes)].value);
    for_each(lanes & (lanes - 1),
             [&](int lane) { joined = join(kind, joined, static_cast<int64_t>(warp.operands[lane].value)); });
    for_each(lanes, [&](int lane) { warp.results[lane] = static_cast<uint64_t>(joined); });
}

// Lane 8 m + r addresses row r of matrix m; a lane gets two neighbours of row lane / 4, transposed: of a column.
void load_matrices(Warp &warp, Collective kind) {
    uint16_t matrices[4][8][8];
    for (int lane = 0; lane < kLanes; ++lane) {
        const Thread &thread = block.threads[warp.number * kLanes + lane];
        std::memcpy(matrices[lane / 8][lane % 8], shared_at(thread, warp.operands[lane].address, 16, name(kind)), 16);
    }
    for (int lane = 0; lane < kLanes; ++lane) {
        const int row = lane / 4, column = lane % 4 * 2;
        for (int m = 0; m < 4; ++m) {
            const auto &matrix = matrices[m];
            const uint32_t low = kind == Collective::kLoadMatrix ? matrix[row][column] : matrix[column][row];
            const uint32_t high = kind == Collective::kLoadMatrix ? matrix[row][column + 1] : matrix[column + 1][row];
            warp.operands[lane].x[m] = low | high << 16;
        }
    }
}

const float *half_values() {
    static const float *const table = [] {
        auto *values = new float[1 << 16];
        for (uint32_t bits = 0; bits < 1 << 16; ++bits)
            values[bits] = __half2float(__half_raw{static_cast<unsigned short>(bits)});
        return values;
    }();
    return table;
}

struct HalfValue {
    const float *values = half_values();
    float operator()(uint32_t bits) const { return values[bits]; }
};

struct Bfloat16Value {
    float operator()(uint32_t bits) const {
        bits <<= 16;
        float value;
        std::memcpy(&value, &bits, sizeof value);
        return value;
    }
};

__attribute__((target_clones("arch=haswell", "default"))) void accumulate(Columns (&c)[16], const float (&a)[16][16],
                                                                          const Columns (&b)[16]) {
    for (int row = 0; row < 16; row += 4) {  // several at once, as a sum waits for the one before
        Columns sum0 = c[row], sum1 = c[row + 1], sum2 = c[row + 2], sum3 = c[row + 3];
        for (int k = 0; k < 16; ++k) {
            sum0 += a[row][k] * b[k];
            sum1 += a[row + 1][k] * b[k];
            sum2 += a[row + 2][k] * b[k];
            sum3 += a[row + 3][k] * b[k];
        }
        c[row] = sum0;
        c[row + 1] = sum1;
        c[row + 2] = sum2;
        c[row + 3] = sum3;
    }
}

template <class Value>
void multiply_all(Warp &warp) {
    const Value value;
    float a[16][16];
    Columns b[16], c[16];
    for (int lane = 0; lane < kLanes; ++lane) {
        const Operand &operand = warp.operands[lane];
        const int row = lane / 4, pair = lane % 4 * 2;
        for (int part = 0; part < 4; ++part) {
            float *at = &a[row + part % 2 * 8][pair + part / 2 * 8];
            at[0] = value(operand.a[part] & 0xffff);
            at[1] = value(operand.a[part] >> 16);
        }
        for (int part = 0; part < 2; ++part) {
            b[pair + part * 8][row] = value(operand.b[part] & 0xffff);
            b[pair + part * 8 + 1][row] = value(operand.b[part] >> 16);
        }
        for (int e = 0; e < 4; ++e) c[row + e / 2 * 8][pair + e % 2] = operand.c[e];
    }
    accumulate(c, a, b);
    for (int lane = 0; lane < kLanes; ++lane)
        for (int e = 0; e < 4; ++e) warp.operands[lane].c[e] = c[lane / 4 + e / 2 * 8][lane % 4 * 2 + e % 2];
}

}  // namespace

void complete(Warp &warp, const Rendezvous &met) {
    const Collective kind = met.kind;
    if (kind >= Collective::kLoadMatrix && met.arrived != ~0u)
        fail(block.threads[warp.number * kLanes + __builtin_ctz(met.arrived)],
             "%s without lanes 0x%08x, which have returned or never were", name(kind), ~met.arrived);
    switch (kind) {
        case Collective::kSyncThreads:
        case Collective::kSyncWarp: return;
        case Collective::kShuffle:
        case Collective::kShuffleXor:
        case Collective::kShuffleUp:
        case Collective::kShuffleDown: return exchange(warp, met.arrived);
        case Collective::kAny:
        case Collective::kAll:
        case Collective::kBallot: return count_votes(warp, kind, met.arrived);
        case Collective::kReduceAdd:
        case Collective::kReduceMin:
        case Collective::kReduceMax:
        case Collective::kReduceAnd:
        case Collective::kReduceOr:
        case Collective::kReduceXor: return join_all(warp, kind, met.arrived);
        case Collective::kLoadMatrix:
        case Collective::kLoadMatrixTransposed: return load_matrices(warp, kind);
        case Collective::kMmaHalf: return multiply_all<HalfValue>(warp);
        case Collective::kMmaBfloat16: return multiply_all<Bfloat16Value>(warp);
        case Collective::kWgmma: return multiply_group(warp);
        case Collective::kStoreMatrix: return store_matrices(warp);
    }
}

uint64_t shuffle(Collective kind, uint32_t mask, uint64_t value, int argument, int width) {
    Operand &own = own_operand();
    own.value = value;
    own.source = source_lane(kind, block.current->lane, argument, width);
    meet(kind, mask);
    return own_result();
}

uint32_t vote(Collective kind, uint32_t mask, bool predicate) {
    own_operand().value = predicate;
    meet(kind, mask);
    return static_cast<uint32_t>(own_result());
}

int64_t reduce(Collective kind, uint32_t mask, int64_t value) {
    own_operand().value = static_cast<uint64_t>(value);
    meet(kind, mask);
    return static_cast<int64_t>(own_result());
}

void load_matrix(Collective kind, uint32_t *x, uint32_t address) {
    Operand &own = own_operand();
    own.x = x;
    own.address = address;
    meet(kind, ~0u);
}

void multiply(Collective kind, float *c, const uint32_t *a, const uint32_t *b) {
    Operand &own = own_operand();
    own.c = c;
    own.a = a;
    own.b = b;
    meet(kind, ~0u);
}

}  // namespace attnexport::cpu
