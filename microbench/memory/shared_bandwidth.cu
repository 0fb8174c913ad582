// A block of 1024 threads moves UNROLL words of WIDTH bytes a thread and pass, free of bank conflicts. OP: LD loads, ST
// stores, MIX loads from the lower half of the array and stores to the upper one in turn.
#include "table.cuh"

#define LD 0
#define ST 1
#define MIX 2
#define THREADS 1024
#define UNROLL 8
#define BYTES 32768
#define STORES(j) (OP == ST || (OP == MIX && (j) % 2))
#define SPAN (OP == MIX ? BYTES / 2 : BYTES)
#define OFFSET(j) ((j) * THREADS * WIDTH % SPAN + (OP == MIX && STORES(j) ? SPAN : 0))

__device__ __forceinline__ u32 load(u32 p) {
    u32 x, y = 0, z = 0, w = 0;
    if (WIDTH == 4) asm volatile("ld.volatile.shared.u32 %0, [%1];" : "=r"(x) : "r"(p) : "memory");
    if (WIDTH == 8) asm volatile("ld.volatile.shared.v2.u32 {%0, %1}, [%2];" : "=r"(x), "=r"(y) : "r"(p) : "memory");
    if (WIDTH == 16)
        asm volatile("ld.volatile.shared.v4.u32 {%0, %1, %2, %3}, [%4];" : "=r"(x), "=r"(y), "=r"(z), "=r"(w) : "r"(p) : "memory");
    return x ^ y ^ z ^ w;
}

__device__ __forceinline__ void store(u32 p, u32 x, u32 y) {
    if (WIDTH == 4) asm volatile("st.shared.u32 [%0], %1;" ::"r"(p), "r"(x) : "memory");
    if (WIDTH == 8) asm volatile("st.shared.v2.u32 [%0], {%1, %2};" ::"r"(p), "r"(x), "r"(y) : "memory");
    if (WIDTH == 16) asm volatile("st.shared.v4.u32 [%0], {%1, %2, %2, %2};" ::"r"(p), "r"(x), "r"(y) : "memory");
}

PROBE(probe) {
    __shared__ __align__(16) u32 words[BYTES / 4];
    for (u32 i = threadIdx.x; i < BYTES / 4; i += THREADS) words[i] = mix(i);
    u32 mine = shared_address(words) + threadIdx.x * WIDTH, sum = 0;
    Span span = begin();
#pragma unroll 1
    for (u64 pass = 0; pass < iters; ++pass) {
        u32 tag = seed + (u32)pass;
#pragma unroll
        for (int j = 0; j < UNROLL; ++j) {
            if (STORES(j))
                store(mine + OFFSET(j), tag, threadIdx.x);
            else
                sum += load(mine + OFFSET(j));
        }
    }
    finish(span, records);
#pragma unroll
    for (int j = 0; j < UNROLL; ++j)
        if (STORES(j)) sum += load(mine + OFFSET(j));
    out[thread_index()] = sum;
}
