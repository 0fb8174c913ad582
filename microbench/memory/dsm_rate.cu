// All blocks of all clusters move 16 bytes a thread and access from or to a peer's shared memory; `bytes` is the pattern: 0
// RING (the next block), 1 PAIR (the block whose rank differs in the last bit), 2 BROADCAST (all from block 0), 3 OWN.
// OP READ, WRITE, or ADD (one word a thread, no result). A pass covers BUFFER bytes.
#include "async.cuh"

#define READ 0
#define WRITE 1
#define ADD 2
#define UNROLL 4
#define BUFFER 65536u

CLUSTER_PROBE(probe) {
    extern __shared__ char dynamic[];
    u32 rank = cluster_rank(), blocks = cluster_blocks(), t = threadIdx.x, size = OP == ADD ? 4u : 16u, sum = 0;
    u32 peer = bytes == 0 ? (rank + 1u) % blocks : bytes == 1 ? rank ^ 1u : bytes == 2 ? 0u : rank;
    u32 here = shared_address(dynamic), base = peer_address(here, peer) + size * t, stride = size * blockDim.x;
    for (u32 i = t; i < BUFFER / 4; i += blockDim.x) store_shared(here + 4u * i, OP == READ ? rank + i : 0u);
    cluster_sync();
    Span span = begin();
#pragma unroll 1
    for (u64 i = 0; i < iters; ++i) {
#pragma unroll 1
        for (u32 offset = 0; offset < BUFFER; offset += UNROLL * stride) {
            u32 v[UNROLL][4];
#pragma unroll
            for (int j = 0; j < UNROLL; ++j) {
                u32 address = base + offset + j * stride;
#if OP == READ
                asm volatile("ld.shared::cluster.v4.u32 {%0, %1, %2, %3}, [%4];"
                             : "=r"(v[j][0]), "=r"(v[j][1]), "=r"(v[j][2]), "=r"(v[j][3])
                             : "r"(address));
#elif OP == WRITE
                v[j][0] = rank + offset + j * stride;
                asm volatile("st.shared::cluster.v4.u32 [%0], {%1, %2, %3, %4};" ::"r"(address), "r"(v[j][0]), "r"(t), "r"(t), "r"(t)
                             : "memory");
#else
                v[j][0] = 0;
                asm volatile("red.shared::cluster.add.u32 [%0], 1;" ::"r"(address) : "memory");
#endif
            }
#pragma unroll
            for (int j = 0; j < UNROLL; ++j) sum += OP == READ ? v[j][0] + v[j][1] + v[j][2] + v[j][3] : 0u;
        }
    }
    asm volatile("fence.acq_rel.cluster;" ::: "memory");
    finish(span, records);
    cluster_sync();
    for (u32 i = t; i < BUFFER / 4 && OP != READ; i += blockDim.x) sum += load_shared(here + 4u * i);
    out[thread_index()] = sum;
}
