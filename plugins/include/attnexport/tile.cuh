// Tiles of rows in shared memory, filled by asynchronous copies.
#pragma once

#include <attnexport/mma.cuh>

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

// Fills tiles of kRows rows from a matrix of `width` columns (a multiple of 8). A thread always copies the same column
// of every kStep-th row, so that its addresses are computed once.
template <class T, int kRows, int kWidth, int kThreads>
class TileLoader {
    static constexpr int kPieces = kWidth / 8;
    static constexpr int kStep = kThreads / kPieces;
    static_assert(kStep > 0, "a pass covers at least one row");

  public:
    __device__ __forceinline__ TileLoader(const T *source, int width)
        : row_(threadIdx.x / kPieces),
          column_(threadIdx.x % kPieces * 8),
          step_bytes_(static_cast<int64_t>(kStep) * width * static_cast<int>(sizeof(T))),
          row_bytes_(static_cast<int64_t>(width) * static_cast<int>(sizeof(T))),
          from_(reinterpret_cast<const char *>(source + static_cast<int64_t>(row_) * width + column_)),
          bytes_(column_ < width && row_ < kStep ? 16 : 0) {}

    // Rows `first` .. of the matrix into the tile at `base`; rows from `limit` on become zeros.
    __device__ __forceinline__ void load(uint32_t base, int first, int limit) const {
        if (kThreads % kPieces != 0 && row_ >= kStep) return;
        const char *from = from_ + first * row_bytes_;
        uint32_t to = Tile<T, kRows, kWidth>::address(base, row_, column_);
        const bool whole = first + kRows <= limit;
#pragma unroll
        for (int row = 0; row < kRows; row += kStep) {
            if (kRows % kStep == 0 || row + row_ < kRows) {
                const int bytes = whole || first + row + row_ < limit ? bytes_ : 0;
                copy_async_16(to, from, bytes);
            }
            to += kStep * Tile<T, kRows, kWidth>::kStride * static_cast<int>(sizeof(T));
            from += step_bytes_;
        }
    }

  private:
    int row_, column_;
    int64_t step_bytes_, row_bytes_;
    const char *from_;
    int bytes_;
};

}  // namespace attnexport
