// A chain of dependent links of OP whose stall counts are patched afterwards: a result read too early is an old one.
#include "ops.cuh"

DECLARE(OP)

PROBE(probe) {
    Word zero = (Word)(iters >> 40) * threadIdx.x;
    Word x = X0 + zero, a = A0 + zero, b = B0 + zero;
    u32 turns = 0, end = (u32)iters;
    Span span = begin();
#pragma unroll 1
    for (; turns < end; ++turns) {
#pragma unroll
        for (int j = 0; j < CHAIN; ++j) link(x, a, b);
        asm volatile("" : "+r"(turns));
    }
    finish(span, records);
    ((uint4*)out)[thread_index()] = make_uint4((u32)x, (u32)((u64)x >> 32), 0u, turns);
}
