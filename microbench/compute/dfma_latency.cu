// A chain of dependent FP64 multiply-adds: x = x * 1 + 1, so that x counts the instructions that ran.
#include "probe.cuh"

PROBE(probe) {
    double x = 0.0, one = (double)(iters != 0);
    Span span = begin();
#pragma unroll 1
    for (u64 i = 0; i < iters; ++i) {
#pragma unroll
        for (int j = 0; j < CHAIN; ++j) asm volatile("fma.rn.f64 %0, %0, %1, %1;" : "+d"(x) : "d"(one));
    }
    finish(span, records);
    out[thread_index()] = (u32)x;
}
