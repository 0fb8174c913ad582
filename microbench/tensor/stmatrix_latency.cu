// One warp, round trips through shared memory: stmatrix, then ldmatrix of the same tile with each matrix turned by one row.
#include "matrix_path.cuh"

PROBE(probe) {
    __shared__ __align__(128) unsigned char tile[TILE];
    u32 lane = threadIdx.x, base = shared_address(tile), d[4];
    u32 to = base + lane * 16u, from = base + (lane & 24u) * 16u + (lane + 1u & 7u) * 16u;
#pragma unroll
    for (u32 r = 0; r < 4; ++r) d[r] = content(r * 32u + lane, seed);
    Span span = begin();
#pragma unroll 1
    for (u64 i = 0; i < iters; ++i) {
#pragma unroll
        for (int j = 0; j < CHAIN; ++j) {
            store(to, d);
            load(d, from);
        }
    }
    finish(span, records);
    results(out, d);
}
