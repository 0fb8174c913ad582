// Misses of L1 against the number of lines: one thread chases through places STRIDE bytes apart in random order, two laps to
// warm up and then `iters` passes of CHAIN loads. One launch goes through 32 numbers of places, from half of what L1 could
// hold to half as much again: LINES of 128 bytes where no shared memory is asked for (CARVEOUT 0), 28 KiB where all is.
#include "lap.cuh"
#include "table.cuh"

#define SETTINGS 32
#define NOMINAL (CARVEOUT == 0 ? LINES : 224)
#define A_LINE (STRIDE < LINE ? LINE / STRIDE : 1)

__device__ __forceinline__ u32 places_of(u32 setting) { return NOMINAL * (16u + setting) / 32u * A_LINE; }

__device__ __forceinline__ char* follow(char* p) {
    asm volatile("ld.global.u64 %0, [%0];" : "+l"(p)::"memory");
    return p;
}

PROBE(probe) {
    u64 ns_begin = ns_now(), first = 0, before = 0, after = 0;
#pragma unroll 1
    for (u32 setting = 0; setting < SETTINGS; ++setting) {
        u64 places = places_of(setting);
        u32 half = half_bits(places);
        __syncthreads();
        for (u64 i = threadIdx.x; i < places; i += blockDim.x)
            *(char**)(data + place(i, places, half) * STRIDE) = data + place(i + 1, places, half) * STRIDE;
        __threadfence();
        __syncthreads();
        if (threadIdx.x != 0) continue;
        char* p = data + place(seed, places, half) * STRIDE;
#pragma unroll 1
        for (u64 i = 0; i < 2 * places; ++i) p = follow(p);
        before = clock_now();
#pragma unroll 1
        for (u64 i = 0; i < iters; ++i) {
#pragma unroll
            for (int j = 0; j < CHAIN; ++j) p = follow(p);
        }
        arrive(p);
        after = clock_now();
        if (setting == 0) first = before;
        store_row(out, setting, after - before, (u32)((p - data) / STRIDE));
    }
    if (threadIdx.x == 0) store_record(records, first, after, ns_begin);
}
