// Every block of 1024 threads stores over and over to 64 KiB of its own, 16 bytes a thread: a set that L1 could keep to itself.
#include "probe.cuh"

#define UNROLL 4
#define STEP 16384u

PROBE(probe) {
    char* mine = data + (u64)blockIdx.x * UNROLL * STEP + threadIdx.x * 16u;
    Span span = begin();
#pragma unroll 1
    for (u64 pass = 0; pass < iters; ++pass) {
        u32 tag = seed + (u32)pass;
#pragma unroll
        for (u32 j = 0; j < UNROLL; ++j)
            asm volatile("st.global.v4.u32 [%0], {%1, %2, %3, %4};" ::"l"(mine + j * STEP), "r"(tag), "r"(threadIdx.x), "r"(blockIdx.x), "r"(j)
                         : "memory");
    }
    finish(span, records);
    u32 sum = 0;
    for (u32 j = 0; j < UNROLL; ++j) {
        u32 x, y, z, w;
        asm volatile("ld.global.cg.v4.u32 {%0, %1, %2, %3}, [%4];"
                     : "=r"(x), "=r"(y), "=r"(z), "=r"(w)
                     : "l"(mine + j * STEP)
                     : "memory");
        sum += x + 3u * y + 5u * z + 7u * w;
    }
    out[thread_index()] = sum;
}
