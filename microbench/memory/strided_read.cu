// Words of 4 bytes read far apart from DRAM: STRIDE elements from lane to lane, or (0) at random places. Every thread has
// UNROLL loads in flight; the set's words hold what the host can compute from their index.
#include "probe.cuh"

#define UNROLL 8
#define SPREAD (STRIDE ? STRIDE : 32)

PROBE(prepare) {
    u32* words = (u32*)data;
    for (u64 i = thread_index(); i < bytes / 4; i += (u64)gridDim.x * blockDim.x) words[i] = mix((u32)i);
}

// `bytes` is a power of two.
PROBE(probe) {
    const u32* words = (const u32*)data;
    u32 mask = (u32)(bytes / 4 - 1), reads = (u32)(bytes / 4 / SPREAD), threads = gridDim.x * blockDim.x, sum = 0;
    Span span = begin();
#pragma unroll 1
    for (u64 pass = 0; pass < iters; ++pass) {
#pragma unroll 1
        for (u32 i = thread_index(); i + (UNROLL - 1) * threads < reads; i += UNROLL * threads) {
            u32 x[UNROLL];
#pragma unroll
            for (u32 j = 0; j < UNROLL; ++j) {
                u32 read = i + j * threads;
                const u32* p = words + (STRIDE ? read * STRIDE : mix(read + 1u) & mask);
                asm volatile("ld.global.u32 %0, [%1];" : "=r"(x[j]) : "l"(p) : "memory");
            }
#pragma unroll
            for (u32 j = 0; j < UNROLL; ++j) sum += x[j];
        }
    }
    finish(span, records);
    out[thread_index()] = sum;
}
