// Two blocks of a cluster, 0 and `bytes`, signal each other by turns: a store with st.async into the peer's shared memory
// that also completes the peer's mbarrier, for which the peer waits.
#include "async.cuh"

CLUSTER_PROBE(probe) {
    __shared__ alignas(16) u64 barrier;
    __shared__ alignas(16) u32 box[4];
    u32 peer = (u32)bytes, rank = cluster_rank(), bar = shared_address(&barrier), slot = shared_address(box);
    bool plays = threadIdx.x == 0 && (rank == 0 || rank == peer);
    if (threadIdx.x == 0) {
        barrier_init(bar, 1);
        barrier_expect(bar, 4);
    }
    cluster_sync();
    if (plays) {
        u32 other = rank == 0 ? peer : 0, there = peer_address(slot, other), bell = peer_address(bar, other);
        u64 deadline = ns_now() + PATIENCE_NS;
        u32 value = 0, parity = 0;
        bool good = true;
        Span span;
        span.ns = ns_now();
        span.clock = clock_now();
#pragma unroll 1
        for (u64 i = 0; i < iters && good; ++i) {
            if (rank != 0 || i > 0) {
                good = barrier_wait(bar, parity, deadline);
                parity ^= 1u;
                barrier_expect(bar, 4);
                value = load_shared(slot) + 1u;
            }
            asm volatile("st.async.shared::cluster.mbarrier::complete_tx::bytes.u32 [%0], %1, [%2];" ::"r"(there), "r"(value), "r"(bell)
                         : "memory");
        }
        u64 clock = clock_now();
        u64 ns = ns_now();
        if (rank == 0) {
            good = good && barrier_wait(bar, parity, deadline);
            Record record = {span.clock, clock, span.ns, ns, sm_id()};
            records[blockIdx.x] = record;
            out[0] = good ? load_shared(slot) + 1u : 0u;
        }
    }
    cluster_sync();
}
