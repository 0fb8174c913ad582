// Clusters stream one set through shared memory, DEPTH boxes of BOX bytes in flight. Each block loads its share of a box
// from L2 and TMA delivers it to all blocks of the cluster, so that each receives whole boxes and L2 is read once a cluster.
// A buffer is filled again when every block has read it (an arrival at each peer's `empty` barrier), LAG steps later, so
// that nobody waits for arrivals on their way.
#include "async.cuh"

#define BOX 16384u
#define DEPTH 12
#define LAG 5
#define SPILL 128u

// Word i holds i.
PROBE(prepare) {
    for (u64 i = thread_index(); i < bytes / 4; i += (u64)gridDim.x * blockDim.x) ((u32*)data)[i] = (u32)i;
}

// Keeps a value in a register: the compiler would rather compute it again at every use.
__device__ __forceinline__ u32 kept(u32 value) {
    asm volatile("" : "+r"(value));
    return value;
}

// A share of a box to the same place in every block of the cluster.
__device__ __forceinline__ void deliver(u32 to, const char* from, u32 bytes, u32 barrier, u16 blocks) {
    asm volatile(
        "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster [%0], [%1], %2, [%3], %4;" ::"r"(to),
        "l"(from), "r"(bytes), "r"(barrier), "h"(blocks)
        : "memory");
}

// out: for each block the sum of first and last words of what it received.
CLUSTER_PROBE(probe) {
    extern __shared__ char dynamic[];
    __shared__ u64 full[DEPTH], empty[DEPTH];
    u32 rank = cluster_rank(), blocks = cluster_blocks(), lane = threadIdx.x;
    u32 ring = kept((shared_address(dynamic) + SPILL - 1u) & ~(SPILL - 1u));
    u32 sum = 0, stage = 0, parity = 0, before = 0, before_parity = 0;
    u32 boxes = kept((u32)(bytes / BOX)), box = kept(blockIdx.x / blocks * (boxes / (gridDim.x / blocks)));
    u32 share = kept(BOX / blocks), full0 = kept(shared_address(full)), empty0 = kept(shared_address(empty));
    u32 mine = kept(ring + rank * share), peer = kept(peer_address(empty0, lane < blocks ? lane : 0u));
    const char* source = data + rank * share;
    u16 mask = (u16)((1u << blocks) - 1u);
    if (lane == 0)
        for (int s = 0; s < DEPTH; ++s) {
            barrier_init(full0 + 8 * s, 1);
            barrier_init(empty0 + 8 * s, blocks);
        }
    fence_async();
    if (lane == 0)
        for (int s = 0; s < DEPTH; ++s) barrier_expect(full0 + 8 * s, BOX);
    cluster_sync();
    u64 deadline = ns_now() + PATIENCE_NS;
    bool good = true;
    Span span = begin();
#pragma unroll 1
    for (int s = 0; s < DEPTH; ++s) {
        if (lane == 0) deliver(mine + s * BOX, source + (u64)box * BOX, share, full0 + 8 * s, mask);
        box = box + 1u == boxes ? 0u : box + 1u;
    }
#pragma unroll 1
    for (u64 k = 0; k < iters && good; ++k) {
        u32 buffer = ring + stage * BOX, barrier = full0 + 8 * stage;
        good = barrier_wait(barrier, parity, deadline);
        if (lane == 0) {
            sum += load_shared(buffer) + load_shared(buffer + BOX - 4u);
            barrier_expect(barrier, BOX);
        }
        __syncwarp();
        if (lane < blocks) barrier_arrive_at(peer + 8 * stage);
        stage = stage + 1u == DEPTH ? 0u : stage + 1u;
        parity ^= stage == 0u ? 1u : 0u;
        if (k >= LAG) {
            good = good && barrier_wait(empty0 + 8 * before, before_parity, deadline);
            if (lane == 0) deliver(mine + before * BOX, source + (u64)box * BOX, share, full0 + 8 * before, mask);
            box = box + 1u == boxes ? 0u : box + 1u;
            before = before + 1u == DEPTH ? 0u : before + 1u;
            before_parity ^= before == 0u ? 1u : 0u;
        }
    }
    finish(span, records);
    if (lane == 0) {  // what is still on its way must land before the block ends
#pragma unroll 1
        for (int s = LAG; s < DEPTH && good; ++s) {
            good = barrier_wait(full0 + 8 * stage, parity, deadline);
            stage = stage + 1u == DEPTH ? 0u : stage + 1u;
            parity ^= stage == 0u ? 1u : 0u;
        }
        out[blockIdx.x] = good ? sum : 0u;
    }
    cluster_sync();
}
