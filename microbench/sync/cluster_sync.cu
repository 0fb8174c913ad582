// A chain of cluster barriers. Each pass hands a word to the next block of the cluster, so that the result shows that
// the barriers held. KIND: ACQ_REL orders memory as cluster.sync() does, RELAXED does not.
#include "async.cuh"

#define ACQ_REL "barrier.cluster.arrive.release.aligned;\nbarrier.cluster.wait.acquire.aligned;"
#define RELAXED "barrier.cluster.arrive.relaxed.aligned;\nbarrier.cluster.wait.aligned;"

CLUSTER_PROBE(probe) {
    __shared__ u32 slots[2 * 1024];
    u32 t = threadIdx.x, n = cluster_blocks(), next = (cluster_rank() + 1u) % n;
    u32 own = shared_address(slots) + 4u * t, other = peer_address(own, next), x = cluster_rank();
    cluster_sync();
    Span span = begin();
#pragma unroll 1
    for (u64 i = 0; i < iters; ++i) {
        u32 half = (u32)(i & 1u) * 4096u;
        store_shared(own + half, x);
        cluster_sync();
#pragma unroll
        for (int j = 0; j < CHAIN; ++j) asm volatile(KIND ::: "memory");
        x = load_peer(other + half) + 1u;
    }
    finish(span, records);
    cluster_sync();
    out[thread_index()] = x;
}
