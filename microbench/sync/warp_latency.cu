// Chains of warp primitives: each step reads the result of the one before. `bytes` is DISTINCT, a power of two: how many
// different values the lanes of a warp start with.
#include "probe.cuh"

#define SHFL_IDX 0
#define SHFL_UP 1
#define SHFL_DOWN 2
#define SHFL_BFLY 3
#define VOTE_ALL 4
#define VOTE_ANY 5
#define BALLOT 6
#define MATCH_ANY 7
#define MATCH_ALL 8
#define REDUX_ADD 9

PROBE(probe) {
    u32 lane = threadIdx.x & 31u, mask = __activemask();
    u32 x = OP == REDUX_ADD ? 1u : OP >= VOTE_ALL ? 3u + (lane & (u32)(bytes - 1u)) : lane;
    u32 source = (lane + 1u) & 31u, sum = 0;
    bool flag = x != 0u && iters != 0;
    Span span = begin();
#pragma unroll 1
    for (u64 i = 0; i < iters; ++i) {
#pragma unroll
        for (int j = 0; j < CHAIN; ++j) {
#if OP == SHFL_IDX
            asm volatile("shfl.sync.idx.b32 %0, %0, %1, 0x1f, 0xffffffff;" : "+r"(x) : "r"(source));
#elif OP == SHFL_UP
            asm volatile("shfl.sync.up.b32 %0, %0, 1, 0, 0xffffffff;" : "+r"(x));
#elif OP == SHFL_DOWN
            asm volatile("shfl.sync.down.b32 %0, %0, 1, 0x1f, 0xffffffff;" : "+r"(x));
#elif OP == SHFL_BFLY
            asm volatile("shfl.sync.bfly.b32 %0, %0, 1, 0x1f, 0xffffffff;" : "+r"(x));
#elif OP == VOTE_ALL
            flag = __all_sync(0xffffffffu, flag);
#elif OP == VOTE_ANY
            flag = __any_sync(0xffffffffu, flag);
#elif OP == BALLOT
            x = __ballot_sync(0xffffffffu, x != 0u);
#elif OP == MATCH_ANY
            asm volatile("match.any.sync.b32 %0, %0, 0xffffffff;" : "+r"(x));
#elif OP == MATCH_ALL
            asm volatile("{ .reg .pred p; match.all.sync.b32 %0|p, %0, 0xffffffff; }" : "+r"(x));
#elif OP == REDUX_ADD
            asm volatile("redux.sync.add.u32 %0, %0, %1;" : "+r"(x) : "r"(mask));
#endif
        }
        sum += x;
    }
    finish(span, records);
    out[thread_index()] = OP == VOTE_ALL || OP == VOTE_ANY ? (flag ? (u32)iters : 0u) : sum;
}
