// Latency of single L2 hits, line by line, over lines that an SM elsewhere has just written.
// Block `seed` times, the block half a grid further writes. Lap 0 meets each line where the write put it (its home slice,
// near or far), lap 1 after this SM's own first hit. LOADS dependent loads are timed at once: two less one is a latency
// without the cost of the clock reads. Counts fall into bins of BIN cycles.
#include "chase.cuh"

#define BIN 8
#define BINS 192
#define LAPS 2

__device__ __forceinline__ void wait_for(u32* flag, u32 value) {
    u32 seen;
    do asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(seen) : "l"(flag) : "memory");
    while (seen != value);
}

__device__ __forceinline__ void signal(u32* flag, u32 value) {
    asm volatile("st.release.gpu.global.u32 [%0], %1;" ::"l"(flag), "r"(value) : "memory");
}

// out: [0] flag, [1] the timing SM, [2] the writing SM, [3] a checksum, [4..5] cycles in all, [8 ..] LAPS x BINS counts.
PROBE(probe) {
    u32 timing = seed % gridDim.x, writing = (seed + gridDim.x / 2u) % gridDim.x;
    u64 lines = bytes / LINE;
    u32 half = half_bits(lines);
    if (blockIdx.x == writing) {
        for (u64 i = threadIdx.x; i < lines; i += blockDim.x)
            *(char**)(data + place(i, lines, half) * LINE) = data + place(i + 1, lines, half) * LINE;
        __threadfence();
        __syncthreads();
        if (threadIdx.x == 0) {
            out[2] = sm_id();
            signal(out, (u32)iters);
        }
    }
    if (blockIdx.x != timing || threadIdx.x != 0) return;
    __shared__ u32 counts[LAPS * BINS];
    for (int i = 0; i < LAPS * BINS; ++i) counts[i] = 0;
    wait_for(out, (u32)iters);
    u64 ns_begin = ns_now(), before = 0, after = 0, first = 0, total = 0;
    char* p = data + place(0, lines, half) * LINE;
#pragma unroll 1
    for (u64 i = 0; i < LAPS * lines / LOADS; ++i) {
        before = clock_now();
#pragma unroll
        for (int j = 0; j < LOADS; ++j) asm volatile("ld.global.cg.u64 %0, [%0];" : "+l"(p));
        arrive(p);
        after = clock_now();
        if (i == 0) first = before;
        total += after - before;
        u32 bin = (u32)((after - before) / BIN);
        ++counts[(i * LOADS < lines ? 0 : BINS) + (bin < BINS ? bin : BINS - 1)];
    }
    Record record = {first, after, ns_begin, ns_now(), sm_id()};
    records[0] = record;
    out[1] = sm_id();
    out[3] = (u32)(p - data);
    *(u64*)(out + 4) = total;
    for (int i = 0; i < LAPS * BINS; ++i) out[8 + i] = counts[i];
}
