// Shared-memory accesses with bank conflicts, every number of ways in one launch. The lanes that are served together (a
// warp at 4 bytes a lane, a half at 8, a quarter at 16) take columns of WIDTH bytes, WAYS of them the same one in
// different rows. OP: LATENCY, a chase by one warp, each lane along a ring of its own; LD and ST, 32 warps at once.
#include "table.cuh"

#define LATENCY 0
#define LD 1
#define ST 2
#define PHASE (128 / WIDTH)
#define HOPS 7
#define HOP_BYTES 4096
#define UNROLL 7

#ifndef CHAIN
#define CHAIN 1
#endif

__device__ __forceinline__ u32 chase(u32 p) {
    u32 y, z, w;
    if (WIDTH == 4) asm volatile("ld.shared.u32 %0, [%0];" : "+r"(p)::"memory");
    if (WIDTH == 8) asm volatile("ld.volatile.shared.v2.u32 {%0, %1}, [%0];" : "+r"(p), "=r"(y)::"memory");
    if (WIDTH == 16)
        asm volatile("ld.volatile.shared.v4.u32 {%0, %1, %2, %3}, [%0];" : "+r"(p), "=r"(y), "=r"(z), "=r"(w)::"memory");
    return p;
}

__device__ __forceinline__ u32 load(u32 p) {
    u32 x, y = 0, z = 0, w = 0;
    if (WIDTH == 4) asm volatile("ld.volatile.shared.u32 %0, [%1];" : "=r"(x) : "r"(p) : "memory");
    if (WIDTH == 8) asm volatile("ld.volatile.shared.v2.u32 {%0, %1}, [%2];" : "=r"(x), "=r"(y) : "r"(p) : "memory");
    if (WIDTH == 16)
        asm volatile("ld.volatile.shared.v4.u32 {%0, %1, %2, %3}, [%4];" : "=r"(x), "=r"(y), "=r"(z), "=r"(w) : "r"(p) : "memory");
    return x ^ y ^ z ^ w;
}

__device__ __forceinline__ void store(u32 p, u32 x, u32 y) {
    if (WIDTH == 4) asm volatile("st.shared.u32 [%0], %1;" ::"r"(p), "r"(x) : "memory");
    if (WIDTH == 8) asm volatile("st.shared.v2.u32 [%0], {%1, %2};" ::"r"(p), "r"(x), "r"(y) : "memory");
    if (WIDTH == 16) asm volatile("st.shared.v4.u32 [%0], {%1, %2, %2, %2};" ::"r"(p), "r"(x), "r"(y) : "memory");
}

// Offset of a lane's word within a hop of 32 rows of 128 bytes.
__device__ __forceinline__ u32 offset_of(u32 lane, u32 ways) {
    u32 row = lane % PHASE, column = 0;
    for (; row >= ways; row -= ways) ++column;
    return (lane / PHASE * ways + row) * 128u + column * WIDTH;
}

PROBE(probe) {
    __shared__ __align__(128) char ring[HOPS * HOP_BYTES];
    u32 base = shared_address(ring), lane = threadIdx.x % 32u, sum = 0;
    u64 ns_begin = ns_now(), first = 0, before = 0, after = 0;
#pragma unroll 1
    for (u32 ways = 1; ways <= PHASE; ++ways) {
        u32 place = offset_of(lane, ways), p = base + place;
        __syncthreads();
        for (u32 i = threadIdx.x; i < HOPS * HOP_BYTES / 4; i += blockDim.x) ((u32*)ring)[i] = mix(i);
        __syncthreads();
        if (OP == LATENCY)
            for (u32 hop = 0; hop < HOPS; ++hop)
                *(u32*)(ring + hop * HOP_BYTES + place) = base + (hop + 1u) % HOPS * HOP_BYTES + place;
        sum = 0;
        __syncthreads();
        before = clock_now();
#pragma unroll 1
        for (u64 pass = 0; pass < iters; ++pass) {
            u32 tag = seed + (u32)pass;
#pragma unroll
            for (int j = 0; j < (OP == LATENCY ? CHAIN : UNROLL); ++j) {
                if (OP == LATENCY) p = chase(p);
                if (OP == LD) sum += load(p + j * HOP_BYTES);
                if (OP == ST) store(p + j * HOP_BYTES, tag, lane);
            }
        }
        __syncthreads();
        after = clock_now();
        if (ways == 1) first = before;
        for (int j = 0; OP == ST && j < UNROLL; ++j) sum += load(p + j * HOP_BYTES);
        if (OP == LATENCY) sum = p - base;
        if (threadIdx.x == ways % 32u) store_row(out, ways - 1u, after - before, sum);
    }
    if (threadIdx.x == 0) store_record(records, first, after, ns_begin);
}
