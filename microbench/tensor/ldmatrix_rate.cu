// WARPS warps an SM load the same tiles with ldmatrix, from another tile on in each pass, and add up what they get.
#include "matrix_path.cuh"

#define STARTS 8u

PROBE(probe) {
    __shared__ __align__(128) unsigned char tiles[(STARTS + LOADS) * TILE];
    for (u32 i = threadIdx.x; i < sizeof(tiles) / 4u; i += blockDim.x) ((u32*)tiles)[i] = content(i, seed);
    u32 base = shared_address(tiles) + (threadIdx.x & 31u) * 16u, sum[4] = {0, 0, 0, 0};
    Span span = begin();
#pragma unroll 1
    for (u64 i = 0; i < iters; ++i) {
        u32 address = base + ((u32)i & (STARTS - 1u)) * TILE;
#pragma unroll
        for (int j = 0; j < LOADS; j += 2) {
            u32 d[4], e[4];
            load(d, address + j * TILE);
            load(e, address + (j + 1) * TILE);
            for (int r = 0; r < X; ++r) sum[r] += d[r] + e[r];
        }
    }
    finish(span, records);
    results(out, sum);
}
