// One warp, a chain of ldmatrix: what a lane loads is the address that it names in the next load.
#include "matrix_path.cuh"

#define TILES 7u  // a prime, so that the place where a chain ends tells how long it was

PROBE(probe) {
    __shared__ __align__(128) unsigned char tiles[TILES * TILE];
    u32 lane = threadIdx.x, base = shared_address(tiles);
    // Lane l gets word l of each matrix; transposed, its two halves come from rows 2 (l % 4) and + 1 of column l / 4.
    for (u32 i = lane; i < TILES * 256u; i += 32u) {
        u32 half = i % 2u, place = i / 2u % 32u, tile = i / 256u, matrix = i / 64u % 4u;
        u32 row = TRANS ? place % 4u * 2u + half : place / 4u, column = TRANS ? place / 4u : place % 4u * 2u + half;
        u32 next = base + (tile + 1u) % TILES * TILE + place * 16u;
        ((u16*)tiles)[tile * 256u + matrix * 64u + row * 8u + column] = (u16)(next >> (16u * half));
    }
    u32 address = base + lane * 16u, d[4] = {0, 0, 0, 0};
    Span span = begin();
#pragma unroll 1
    for (u64 i = 0; i < iters; ++i) {
#pragma unroll
        for (int j = 0; j < CHAIN; ++j) {
            load(d, address);
            address = d[0];
        }
    }
    finish(span, records);
    for (int r = 0; r < 4; ++r) d[r] -= base;
    results(out, d);
}
