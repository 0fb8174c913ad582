// WARPS warps an SM, each with ILP independent accumulator chains of mma.sync.m16n8k16.
#include "mma.cuh"

#define STEPS (64 / ILP)

PROBE(probe) {
    Operands o = operands(seed);
    float d[ILP][4];
#pragma unroll
    for (int c = 0; c < ILP; ++c)
#pragma unroll
        for (int r = 0; r < 4; ++r) d[c][r] = (float)c;  // chains that start alike would be merged into one
    Span span = begin();
#pragma unroll 1
    for (u64 i = 0; i < iters; ++i) {
#pragma unroll
        for (int j = 0; j < STEPS; ++j)
#pragma unroll
            for (int c = 0; c < ILP; ++c) mma(d[c], o);
    }
    finish(span, records);
    float4 sum = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
#pragma unroll
    for (int c = 0; c < ILP; ++c) sum = make_float4(sum.x + d[c][0], sum.y + d[c][1], sum.z + d[c][2], sum.w + d[c][3]);
    ((float4*)out)[thread_index()] = sum;
}
