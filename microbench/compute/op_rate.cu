// WARPS warps an SM, each with ILP independent chains of links of OP, 256 links of a warp in one pass.
#include "ops.cuh"

DECLARE(OP)

#define STEPS (256 / ILP)

PROBE(probe) {
    Word zero = (Word)(iters >> 40) * threadIdx.x;  // 0, which the compiler cannot know, and no uniform register
    Word x[ILP], a = A0 + zero, b = B0 + zero;
#pragma unroll
    for (int c = 0; c < ILP; ++c) x[c] = X0 + zero * (Word)(c + 1);  // chains that start alike would be merged
    u32 turns = 0, end = (u32)iters;
    Span span = begin();
#pragma unroll 1
    for (; turns < end; ++turns) {
#pragma unroll
        for (int j = 0; j < STEPS; ++j)
#pragma unroll
            for (int c = 0; c < ILP; ++c) link(x[c], a, b);
        asm volatile("" : "+r"(turns));
    }
    finish(span, records);
    u32 equal = 0;
#pragma unroll
    for (int c = 0; c < ILP; ++c) equal += x[c] == x[0];
    ((uint4*)out)[thread_index() & 4095u] = make_uint4((u32)x[0], (u32)((u64)x[0] >> 32), equal, turns);
}
