// A chain of dependent special-function instructions; OP is the PTX operation (rsqrt, 2 to the x, tanh).
#include "probe.cuh"

#define RSQRT "rsqrt.approx.ftz.f32 %0, %0;"
#define EX2 "ex2.approx.ftz.f32 %0, %0;"
#define TANH "tanh.approx.f32 %0, %0;"

PROBE(probe) {
    float x = (float)(iters != 0) * 4.0f;
    Span span = begin();
#pragma unroll 1
    for (u64 i = 0; i < iters; ++i) {
#pragma unroll
        for (int j = 0; j < CHAIN; ++j) asm volatile(OP : "+f"(x));
    }
    finish(span, records);
    out[thread_index()] = __float_as_uint(x);
}
