// A chain of fences, each after a store of the thread to its own word (PENDING 1) or with nothing outstanding (0).
#include "async.cuh"

#define CTA "membar.cta;"
#define GPU "membar.gl;"
#define SYS "membar.sys;"
#define ACQ_REL_GPU "fence.acq_rel.gpu;"
#define PROXY_ASYNC "fence.proxy.async;"
#define PROXY_ASYNC_SHARED "fence.proxy.async.shared::cta;"

PROBE(probe) {
    u32* word = (u32*)data + thread_index();
    u32 x = seed;
    Span span = begin();
#pragma unroll 1
    for (u64 i = 0; i < iters; ++i) {
#pragma unroll
        for (int j = 0; j < CHAIN; ++j) {
            if (PENDING) asm volatile("st.global.u32 [%0], %1;" ::"l"(word), "r"(x + j) : "memory");
            asm volatile(FENCE ::: "memory");
        }
        x += CHAIN;
    }
    finish(span, records);
    u32 stored;
    asm volatile("ld.global.cg.u32 %0, [%1];" : "=r"(stored) : "l"(word) : "memory");
    out[thread_index()] = PENDING ? stored : x;
}
