// Hopper's instructions: barriers in shared memory and of some threads, copies of boxes, products of a warpgroup.
#pragma once

#include <cuda.h>

#include <cstdint>

#pragma GCC visibility push(hidden)

namespace attnexport::cpu {

void init_barrier(uint32_t barrier, int arrivals);

// Arrives once, or announces bytes that copies will bring and arrives.
void arrive(uint32_t barrier, int expected_bytes = 0);
void wait(uint32_t barrier, int parity);

// Barriers of some of a block's threads.
void arrive_some(int barrier, int threads);
void sync_some(int barrier, int threads);

// Boxes of 128 bytes by so many rows between a tensor and shared memory, whose 16-byte pieces are swizzled within eight
// rows. They are copied at once.
void copy_box(uint32_t to, const CUtensorMap &map, uint32_t barrier, int x, int y, int z);
void store_box(const CUtensorMap &map, uint32_t from, int x, int y, int z);

// A matrix in shared memory, as an operand: swizzled rows of 128 bytes, or 8 x 8 pieces of 128 bytes one after another.
// `beside` is the distance of the next 64 columns along the rows, of the next eight in pieces.
struct Matrix {
    uint32_t address, beside;
    bool swizzled;
};

// d (64, columns) = a b, added to d where `adds`; every thread of the warpgroup has its accumulators. The left operand
// is (64, 16) in shared memory or in registers, the right one (columns, 16), or (16, columns) where the left is in
// registers.
struct Product {
    float *d;
    int columns;
    Matrix a;
    const uint32_t *registers;  // null: a
    Matrix b;
    bool adds, is_bfloat16;
};

void multiply(const Product &product);

void store_matrix(uint32_t address, const uint32_t *x);
void flip_signs(uint32_t address);

}  // namespace attnexport::cpu

#pragma GCC visibility pop
