// WARPS warps an SM, each with ILP chains of movmatrix.trans: an 8 x 8 matrix of 16-bit elements transposed among the lanes.
#include "probe.cuh"

#define STEPS (64 / ILP)

__device__ __forceinline__ void transpose(u32& d) {
    asm volatile("movmatrix.sync.aligned.m8n8.trans.b16 %0, %0;" : "+r"(d));
}

PROBE(probe) {
    u32 d[ILP];
#pragma unroll
    for (u32 c = 0; c < ILP; ++c) d[c] = mix((c * 32u + (threadIdx.x & 31u)) * 0x9e3779b9u + seed);
    Span span = begin();
#pragma unroll 1
    for (u64 i = 0; i < iters; ++i) {
#pragma unroll
        for (int j = 0; j < STEPS; ++j)
#pragma unroll
            for (int c = 0; c < ILP; ++c) transpose(d[c]);
    }
    finish(span, records);
    u32 sum = 0;
#pragma unroll
    for (int c = 0; c < ILP; ++c) {
        transpose(d[c]);  // an odd step at the end: not what the chain began with
        sum += d[c];
    }
    out[thread_index()] = sum;
}
