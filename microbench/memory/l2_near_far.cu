// Latency of single L2 hits, line by line, over lines that an SM elsewhere has just written.
// PAIRS pairs of blocks at once, each with a part of the data of its own: one block writes its lines, another half a grid
// away times them. Lap 0 meets each line where the write put it (its home slice, near or far), lap 1 after the timing SM's
// own first hit. The last load of the second lap is left out, so that the end proves the number of steps. LOADS dependent loads are timed at once: two less one is a latency without the cost of the clock reads.
// Counts fall into bins of BIN cycles.
#include "chase.cuh"

#define BIN 4
#define BINS 256
#define LAPS 2
#define PAIRS 8
#define HEAD 4
#define PAIR_WORDS (HEAD + LAPS * BINS)

__device__ __forceinline__ void wait_for(u32* flag, u32 value) {
    u32 seen;
    do asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(seen) : "l"(flag) : "memory");
    while (seen != value);
}

__device__ __forceinline__ void signal(u32* flag, u32 value) {
    asm volatile("st.release.gpu.global.u32 [%0], %1;" ::"l"(flag), "r"(value) : "memory");
}

__device__ __forceinline__ void write_lap(char* part, u64 lines, u32 half) {
    for (u64 i = threadIdx.x; i < lines; i += blockDim.x)
        *(char**)(part + place(i, lines, half) * LINE) = part + place(i + 1, lines, half) * LINE;
    __threadfence();
    __syncthreads();
}

// The pair whose timing (or writing) block this is, or PAIRS.
__device__ __forceinline__ u32 pair_of(u32 first) {
    for (u32 pair = 0; pair < PAIRS; ++pair)
        if ((first + pair * gridDim.x / (2u * PAIRS)) % gridDim.x == blockIdx.x) return pair;
    return PAIRS;
}

// out, for each pair: [0] flag, [1] the timing SM, [2] the writing SM, [3] where the chain ends, then LAPS x BINS counts.
PROBE(probe) {
    u64 part_bytes = bytes / PAIRS, lines = part_bytes / LINE;
    u32 half = half_bits(lines);
    u32 writes = pair_of(seed + gridDim.x / 2u), times = pair_of(seed);
    if (writes < PAIRS) {
        write_lap(data + writes * part_bytes, lines, half);
        if (threadIdx.x == 0) {
            out[writes * PAIR_WORDS + 2] = sm_id();
            signal(out + writes * PAIR_WORDS, (u32)iters);
        }
    }
    if (times == PAIRS || threadIdx.x != 0) return;
    char* part = data + times * part_bytes;
    u32* result = out + times * PAIR_WORDS;
    __shared__ u32 counts[LAPS * BINS];
    for (int i = 0; i < LAPS * BINS; ++i) counts[i] = 0;
    wait_for(result, (u32)iters);
    u64 ns_begin = ns_now(), before = 0, after = 0, first = 0;
    char* p = part + place(0, lines, half) * LINE;
#pragma unroll 1
    for (u64 i = 0; i < LAPS * lines / LOADS - 1; ++i) {
        before = clock_now();
#pragma unroll
        for (int j = 0; j < LOADS; ++j) asm volatile("ld.global.cg.u64 %0, [%0];" : "+l"(p));
        arrive(p);
        after = clock_now();
        if (i == 0) first = before;
        u32 bin = (u32)((after - before) / BIN);
        ++counts[(i * LOADS < lines ? 0 : BINS) + (bin < BINS ? bin : BINS - 1)];
    }
    Record record = {first, after, ns_begin, ns_now(), sm_id()};
    records[blockIdx.x] = record;
    result[1] = sm_id();
    result[3] = (u32)(p - part);
    for (int i = 0; i < LAPS * BINS; ++i) result[HEAD + i] = counts[i];
}
