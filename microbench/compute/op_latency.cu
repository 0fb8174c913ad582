// A chain of CHAIN dependent links of OP, run iters times.
#include "ops.cuh"

DECLARE(OP)

PROBE(probe) {
    Word zero = (Word)(iters >> 40) * threadIdx.x;  // 0, which the compiler cannot know, and no uniform register
    Word x = X0 + zero, a = A0 + zero, b = B0 + zero;
    u32 sum = 0, one = 1u + (u32)zero;
    u32 turns = 0, end = (u32)iters;
    Span span = begin();
#pragma unroll 1
    for (; turns < end; ++turns) {
#pragma unroll
        for (int j = 0; j < CHAIN; ++j) {
            u32 before = sizeof(Word) == 8 ? (u32)((u64)x >> 32) : (u32)x;
            link(x, a, b);
            if (SUM == COUNTED)
                asm volatile("{.reg .u32 t; add.u32 t, %0, %1; add.u32 %0, t, %2;}" : "+r"(sum) : "r"(before), "r"(one));
        }
        asm volatile("" : "+r"(turns));
    }
    finish(span, records);
    ((uint4*)out)[thread_index()] = make_uint4((u32)x, (u32)((u64)x >> 32), sum, turns);
}
