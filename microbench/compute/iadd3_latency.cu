// A chain of dependent three-input integer adds: x = x + a + b with a and b unknown to the compiler.
#include "probe.cuh"

PROBE(probe) {
    u32 x = seed, a = (u32)bytes + 3u, b = (u32)iters + 5u;
    Span span = begin();
#pragma unroll 1
    for (u64 i = 0; i < iters; ++i) {
#pragma unroll
        for (int j = 0; j < CHAIN; ++j)
            asm volatile("{ .reg .u32 t; add.u32 t, %0, %1; add.u32 %0, t, %2; }" : "+r"(x) : "r"(a), "r"(b));
    }
    finish(span, records);
    out[thread_index()] = x;
}
