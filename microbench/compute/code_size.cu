// Straight-line code of BLOCKS blocks of BLOCK KiB, walked through again and again: `bytes` says how much a pass takes.
#include "probe.cuh"

#if BLOCK == 1
#define BLOCKS 16
#else
#define BLOCKS 24
#endif

#define FOUR                                                                                                           \
    asm volatile("fma.rn.f32 %0, %0, %4, %4; fma.rn.f32 %1, %1, %4, %4; fma.rn.f32 %2, %2, %4, %4; "                   \
                 "fma.rn.f32 %3, %3, %4, %4;"                                                                          \
                 : "+f"(x), "+f"(y), "+f"(z), "+f"(w)                                                                  \
                 : "f"(one));
#define SIXTY FOUR FOUR FOUR FOUR FOUR FOUR FOUR FOUR FOUR FOUR FOUR FOUR FOUR FOUR FOUR

PROBE(probe) {
    float x = 0.0f, y = 0.0f, z = 0.0f, w = 0.0f, one = (float)(iters != 0);
    u32 last = (u32)(bytes / (BLOCK << 10)) - 1u;
    Span span = begin();
#pragma unroll 1
    for (u32 i = 0; i < (u32)iters; ++i) {
#pragma unroll
        for (u32 block = 0; block < BLOCKS; ++block) {
#pragma unroll
            for (u32 kib = 0; kib < BLOCK; ++kib) {
                SIXTY
            }
            if (block == last) break;
        }
    }
    finish(span, records);
    out[thread_index()] = (u32)x + (u32)y + (u32)z + (u32)w;
}
