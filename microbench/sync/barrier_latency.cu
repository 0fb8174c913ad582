// A chain of barriers. Each pass hands a word to a neighbour across them, so that the result shows that they held.
#include "async.cuh"

#define SYNCTHREADS 0
#define NAMED 1
#define MBARRIER 2

PROBE(probe) {
    __shared__ u32 slots[2 * 1024];
    __shared__ u64 barrier;
    u32 t = threadIdx.x, n = blockDim.x, neighbour = t + 32u < n ? t + 32u : t + 32u - n, x = t;
    u32 address = shared_address(&barrier), parity = 0;
    u64 deadline = ns_now() + PATIENCE_NS;
#if OP == MBARRIER
    if (t == 0) barrier_init(address, n);
#endif
    Span span = begin();
#pragma unroll 1
    for (u64 i = 0; i < iters; ++i) {
        u32* half = slots + (i & 1u) * 1024u;
        *(volatile u32*)(half + t) = x;
#pragma unroll
        for (int j = 0; j < CHAIN; ++j) {
#if OP == SYNCTHREADS
            asm volatile("bar.sync 0;" ::: "memory");
#elif OP == NAMED
            asm volatile("bar.sync 1, %0;" ::"r"(n) : "memory");
#else
            barrier_arrive(address);
            barrier_wait(address, parity, deadline);
            parity ^= 1u;
#endif
        }
        x = *(volatile u32*)(half + neighbour) + 1u;
    }
    finish(span, records);
    out[thread_index()] = x;
}
