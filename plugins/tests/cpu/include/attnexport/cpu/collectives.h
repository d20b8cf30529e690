// What the lanes of a warp do together: shuffles, votes, reductions and matrix operations.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#pragma GCC visibility push(hidden)

namespace attnexport::cpu {

enum class Collective : uint8_t {
    kSyncThreads,
    kSyncWarp,
    kShuffle,
    kShuffleXor,
    kShuffleUp,
    kShuffleDown,
    kAny,
    kAll,
    kBallot,
    kReduceAdd,
    kReduceMin,
    kReduceMax,
    kReduceAnd,
    kReduceOr,
    kReduceXor,
    kLoadMatrix,
    kLoadMatrixTransposed,
    kMmaHalf,
    kMmaBfloat16,
    kWgmma,
    kStoreMatrix,
};

uint64_t shuffle(Collective kind, uint32_t mask, uint64_t value, int argument, int width);
uint32_t vote(Collective kind, uint32_t mask, bool predicate);
int64_t reduce(Collective kind, uint32_t mask, int64_t value);
void load_matrix(Collective kind, uint32_t *x, uint32_t address);
void multiply(Collective kind, float *c, const uint32_t *a, const uint32_t *b);

template <class T>
T shuffle_as(Collective kind, uint32_t mask, T value, int argument, int width) {
    static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= sizeof(uint64_t));
    uint64_t bits = 0;
    std::memcpy(&bits, &value, sizeof(T));
    bits = shuffle(kind, mask, bits, argument, width);
    std::memcpy(&value, &bits, sizeof(T));
    return value;
}

}  // namespace attnexport::cpu

#pragma GCC visibility pop

template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32) {
    return attnexport::cpu::shuffle_as(attnexport::cpu::Collective::kShuffle, mask, value, source, width);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lane_mask, int width = 32) {
    return attnexport::cpu::shuffle_as(attnexport::cpu::Collective::kShuffleXor, mask, value, lane_mask, width);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32) {
    return attnexport::cpu::shuffle_as(attnexport::cpu::Collective::kShuffleUp, mask, value, delta, width);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32) {
    return attnexport::cpu::shuffle_as(attnexport::cpu::Collective::kShuffleDown, mask, value, delta, width);
}

inline int __any_sync(unsigned mask, int predicate) {
    return attnexport::cpu::vote(attnexport::cpu::Collective::kAny, mask, predicate != 0);
}
inline int __all_sync(unsigned mask, int predicate) {
    return attnexport::cpu::vote(attnexport::cpu::Collective::kAll, mask, predicate != 0);
}
inline unsigned __ballot_sync(unsigned mask, int predicate) {
    return attnexport::cpu::vote(attnexport::cpu::Collective::kBallot, mask, predicate != 0);
}

inline int __reduce_add_sync(unsigned mask, int value) {
    return static_cast<int>(attnexport::cpu::reduce(attnexport::cpu::Collective::kReduceAdd, mask, value));
}
inline unsigned __reduce_add_sync(unsigned mask, unsigned value) {
    return static_cast<unsigned>(attnexport::cpu::reduce(attnexport::cpu::Collective::kReduceAdd, mask, value));
}
inline int __reduce_min_sync(unsigned mask, int value) {
    return static_cast<int>(attnexport::cpu::reduce(attnexport::cpu::Collective::kReduceMin, mask, value));
}
inline unsigned __reduce_min_sync(unsigned mask, unsigned value) {
    return static_cast<unsigned>(attnexport::cpu::reduce(attnexport::cpu::Collective::kReduceMin, mask, value));
}
inline int __reduce_max_sync(unsigned mask, int value) {
    return static_cast<int>(attnexport::cpu::reduce(attnexport::cpu::Collective::kReduceMax, mask, value));
}
inline unsigned __reduce_max_sync(unsigned mask, unsigned value) {
    return static_cast<unsigned>(attnexport::cpu::reduce(attnexport::cpu::Collective::kReduceMax, mask, value));
}
inline unsigned __reduce_and_sync(unsigned mask, unsigned value) {
    return static_cast<unsigned>(attnexport::cpu::reduce(attnexport::cpu::Collective::kReduceAnd, mask, value));
}
inline unsigned __reduce_or_sync(unsigned mask, unsigned value) {
    return static_cast<unsigned>(attnexport::cpu::reduce(attnexport::cpu::Collective::kReduceOr, mask, value));
}
inline unsigned __reduce_xor_sync(unsigned mask, unsigned value) {
    return static_cast<unsigned>(attnexport::cpu::reduce(attnexport::cpu::Collective::kReduceXor, mask, value));
}
