// A chain of dependent FP32 multiply-adds: x = x * 1 + 1, so that x counts the instructions that ran.
#include "probe.cuh"

PROBE(probe) {
    float x = 0.0f, one = (float)(iters != 0);
    Span span = begin();
#pragma unroll 1
    for (u64 i = 0; i < iters; ++i) {
#pragma unroll
        for (int j = 0; j < CHAIN; ++j) asm volatile("fma.rn.f32 %0, %0, %1, %1;" : "+f"(x) : "f"(one));
    }
    finish(span, records);
    out[thread_index()] = (u32)x;
}
