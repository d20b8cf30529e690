// Tiles of rows in shared memory, filled by asynchronous copies.
#pragma once

#include <forward/mma.cuh>

namespace attnexport {

// Rows of kWidth elements, each padded by 16 bytes: eight rows at one column lie in different banks.
template <class T, int kRows, int kWidth>
struct Tile {
    static constexpr int kStride = kWidth + 16 / static_cast<int>(sizeof(T));
    static constexpr int kElements = kRows * kStride;

    static __device__ __forceinline__ uint32_t address(uint32_t base, int row, int column) {
        return base + static_cast<uint32_t>((row * kStride + column) * static_cast<int>(sizeof(T)));
    }
};

// Flips the sign of every element of a tile of 16-bit floats.
template <class T, int kRows, int kWidth, int kThreads>
__device__ __forceinline__ void negate_tile(unsigned char *tile) {
    static_assert(sizeof(T) == 2, "two elements a word");
    uint32_t *words = reinterpret_cast<uint32_t *>(tile);
    for (int at = threadIdx.x; at < Tile<T, kRows, kWidth>::kElements / 2; at += kThreads) words[at] ^= 0x80008000u;
}

// The norms of keys `first` .. of a tile, copied beside it; zeros from `limit` on.
template <int kCols, int kThreads>
__device__ __forceinline__ void load_norms(float *tile_norms, const float *norms, int first, int limit) {
    for (int column = threadIdx.x; column < kCols; column += kThreads) {
        const bool inside = first + column < limit;
        copy_async_4(shared_address(tile_norms + column), norms + (inside ? first + column : 0), inside ? 4 : 0);
    }
}

// Fills tiles of kRows rows from a matrix of `width` columns (a multiple of 8). A thread always copies the same column
// of every kStep-th row. Where the matrix is as wide as the tile and the rows exist, its addresses are constants apart.
template <class T, int kRows, int kWidth, int kThreads>
class TileLoader {
    static constexpr int kPieces = kWidth / 8;
    static constexpr int kStep = kThreads / kPieces;
    static_assert(kStep > 0, "a pass covers at least one row");

  public:
    __device__ __forceinline__ TileLoader(const T *source, int width)
        : width_(width),
          to_(Tile<T, kRows, kWidth>::address(0, row(), column())),
          from_(reinterpret_cast<const char *>(source + static_cast<int64_t>(row()) * width + column())) {}

    // Rows `first` .. of the matrix into the tile at `base`; rows from `limit` on become zeros.
    __device__ __forceinline__ void load(uint32_t base, int first, int limit) const {
        if (kThreads % kPieces != 0 && row() >= kStep) return;
        const char *from = from_ + static_cast<int64_t>(first) * (width_ * static_cast<int>(sizeof(T)));
        if (width_ == kWidth && first + kRows <= limit)
            load_whole(base + to_, from);
        else
            load_parts(base + to_, from, first, limit);
    }

  private:
    static constexpr int kStepTo = kStep * Tile<T, kRows, kWidth>::kStride * static_cast<int>(sizeof(T));
    static constexpr int kStepFrom = kStep * kWidth * static_cast<int>(sizeof(T));

    static __device__ __forceinline__ int row() { return threadIdx.x / kPieces; }
    static __device__ __forceinline__ int column() { return threadIdx.x % kPieces * 8; }

    __device__ __forceinline__ void load_whole(uint32_t to, const char *from) const {
#pragma unroll
        for (int step = 0; step * kStep < kRows; ++step)
            if (kRows % kStep == 0 || step * kStep + row() < kRows)
                copy_async_16(to + step * kStepTo, from + step * kStepFrom, 16);
    }

    __device__ __forceinline__ void load_parts(uint32_t to, const char *from, int first, int limit) const {
        const int64_t step_bytes = static_cast<int64_t>(kStep) * width_ * static_cast<int>(sizeof(T));
#pragma unroll
        for (int step = 0; step * kStep < kRows; ++step) {
            const int at = step * kStep + row();
            if (kRows % kStep == 0 || at < kRows)
                copy_async_16(to + step * kStepTo, from, first + at < limit && column() < width_ ? 16 : 0);
            from += step_bytes;
        }
    }

    int width_;
    uint32_t to_;
    const char *from_;
};

}  // namespace attnexport
