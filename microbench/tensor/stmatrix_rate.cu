// WARPS warps an SM store the same tiles with stmatrix; what they store changes with the pass, so the last one is seen.
#include "matrix_path.cuh"

PROBE(probe) {
    __shared__ __align__(128) unsigned char tiles[STORES * TILE];
    u32 lane = threadIdx.x & 31u, warp = threadIdx.x >> 5, address = shared_address(tiles) + lane * 16u, first[4], d[4];
#pragma unroll
    for (u32 r = 0; r < 4; ++r) first[r] = content(r * 32u + lane, seed);
    Span span = begin();
#pragma unroll 1
    for (u64 i = 0; i < iters; ++i) {
#pragma unroll
        for (int r = 0; r < 4; ++r) d[r] = first[r] + (u32)i;
#pragma unroll
        for (int j = 0; j < STORES; ++j) store(address + j * TILE, d);
    }
    finish(span, records);
#pragma unroll
    for (u32 r = 0; r < 4; ++r) d[r] = ((u32*)tiles)[warp % STORES * (TILE / 4u) + r * 32u + lane];
    results(out, d);
}
