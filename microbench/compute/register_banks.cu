// Multiply-adds whose source registers and reuse bits are patched afterwards: d += s * s, every s being 1.
#include "probe.cuh"

#define STEPS 8

PROBE(probe) {
    float s[16], d[8];
#pragma unroll
    for (int i = 0; i < 16; ++i) s[i] = (float)(iters * 2048 > (u64)(i + threadIdx.x));  // 1 each, in a register each
#pragma unroll
    for (int i = 0; i < 8; ++i) d[i] = 0.0f;
    Span span = begin();
#pragma unroll 1
    for (u64 i = 0; i < iters; ++i) {
#pragma unroll
        for (int j = 0; j < STEPS; ++j)
#pragma unroll
            for (int c = 0; c < 8; ++c)
                asm volatile("fma.rn.f32 %0, %1, %2, %0;" : "+f"(d[c]) : "f"(s[(2 * c + j) & 15]), "f"(s[(2 * c + j + 1) & 15]));
    }
    finish(span, records);
    u32 sum = 0;
#pragma unroll
    for (int c = 0; c < 8; ++c) sum += (u32)d[c];
    out[thread_index() & 4095u] = sum;
}
