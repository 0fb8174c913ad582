// One warp, a chain of mma.sync.m16n8k16 carried through the FP32 accumulators.
#include "mma.cuh"

PROBE(probe) {
    Operands o = operands(seed);
    float d[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    Span span = begin();
#pragma unroll 1
    for (u64 i = 0; i < iters; ++i) {
#pragma unroll
        for (int j = 0; j < CHAIN; ++j) mma(d, o);
    }
    finish(span, records);
    ((float4*)out)[thread_index()] = make_float4(d[0], d[1], d[2], d[3]);
}
