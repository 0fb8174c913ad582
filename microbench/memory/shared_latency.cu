// A pointer chase through shared memory: MODE DIRECT loads the next shared address itself, MODE INDEX a word index
// that must be turned into an address first, as the chases of earlier suites do.
#include "probe.cuh"

#define DIRECT 0
#define INDEX 1
#define WORDS 1021  // a prime: no number of passes leads back to the start

PROBE(probe) {
    __shared__ u32 ring[WORDS];
    u32 base;
    asm("{ .reg .u64 t; cvta.to.shared.u64 t, %1; cvt.u32.u64 %0, t; }" : "=r"(base) : "l"(ring));
    for (u32 i = threadIdx.x; i < WORDS; i += blockDim.x) {
        u32 next = (i + 33u) % WORDS;
        ring[i] = MODE == DIRECT ? base + 4u * next : next;
    }
    __syncthreads();
    u32 x = MODE == DIRECT ? base : 0u;
    Span span = begin();
#pragma unroll 1
    for (u64 i = 0; i < iters; ++i) {
#pragma unroll
        for (int j = 0; j < CHAIN; ++j) {
            if (MODE == DIRECT)
                asm volatile("ld.shared.u32 %0, [%0];" : "+r"(x));
            else
                asm volatile("{ .reg .u32 a; shl.b32 a, %0, 2; add.u32 a, a, %1; ld.shared.u32 %0, [a]; }" : "+r"(x) : "r"(base));
        }
    }
    finish(span, records);
    out[thread_index()] = MODE == DIRECT ? (x - base) / 4u : x;
}
