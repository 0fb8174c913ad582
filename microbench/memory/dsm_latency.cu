// One thread of the first block of a cluster follows a ring in the shared memory of block `bytes` of the cluster (0: its
// own, through the cluster's window). MODE LOAD loads the next address (generic: a shared::cluster address of 32 bits is
// widened by moves before each load); EXCH swaps what
// the step before returned for what is there.
#include "async.cuh"

#define LOAD 0
#define EXCH 1
#define WORDS 1024u

CLUSTER_PROBE(probe) {
    __shared__ u64 ring[WORDS];
    u32 peer = (u32)bytes, none = (u32)(iters >> 32), sum = 0;
    u64 there;
    u32 base = peer_address(shared_address(ring), peer);
    asm("mapa.u64 %0, %1, %2;" : "=l"(there) : "l"(ring), "r"(cluster_rank()));
    for (u32 i = threadIdx.x; i < WORDS; i += blockDim.x) ring[i] = there + 8u * ((i + 33u) % WORDS);
    cluster_sync();
    asm("mapa.u64 %0, %1, %2;" : "=l"(there) : "l"(ring), "r"(peer));
    u64 p = there;
    u32 x = 0;
    if (cluster_rank() == 0 && threadIdx.x == 0) {
        Span span;
        span.ns = ns_now();
        span.clock = clock_now();
#pragma unroll 1
        for (u64 i = 0; i < iters; ++i) {
#if MODE == EXCH
            x = (x & none) | 1u;
            asm volatile("st.shared::cluster.u32 [%0], %1;" ::"r"(base), "r"(x) : "memory");
            x += 4u;
#endif
#pragma unroll
            for (int j = 0; j < CHAIN; ++j) {
#if MODE == LOAD
                asm volatile("ld.u64 %0, [%0];" : "+l"(p) : : "memory");
#else
                asm volatile("atom.shared::cluster.exch.b32 %0, [%1], %0;" : "+r"(x) : "r"(base) : "memory");
#endif
            }
            sum += MODE == LOAD ? (u32)p : x;
        }
        asm volatile("st.shared::cluster.u32 [%0], %1;" ::"r"(base + 4u), "r"(sum) : "memory");  // waits for the last step
        u64 clock = clock_now();
        u64 ns = ns_now();
        Record record = {span.clock, clock, span.ns, ns, sm_id()};
        records[blockIdx.x] = record;
        out[0] = MODE == LOAD ? (u32)(p - there) / 8u : sum;
    }
    cluster_sync();
}
