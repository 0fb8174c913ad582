// A chase over pages: one lane follows pointers through spots on pages STEP bytes apart, in random order; where pages are
// few each has several spots, so that as many lines and slices of L2 are met. One launch goes through more and more pages of the one working set. All threads build the chain and touch
// it (what fits the TLBs and L2 is then there); then the timed loads start at a random page.
#include "lap.cuh"
#include "table.cuh"

#define SETTINGS 100

#define LEAST_SPOTS 1024
#define DOUBLINGS 29
#define FINE 1024

// 1, 2, 3, 4, 6, 8, 12 ... 32768 pages, then steps of 1024.
__device__ __forceinline__ u64 pages_of(u32 setting) {
    if (setting == 0u) return 1;
    if (setting > DOUBLINGS) return (1u << 15) + (setting - DOUBLINGS) * FINE;
    return (setting % 2u ? 2ull : 3ull) << ((setting - 1u) / 2u);
}

// Spot i lies on page i modulo `pages`, at a random line of its own part of the page.
__device__ __forceinline__ char* spot(char* data, u64 i, u64 pages, u32 rows) {
    u32 part = STEP / LINE / rows, row = (u32)(i / pages);
    return data + i % pages * STEP + (u64)(row * part + mix((u32)i) % part) * LINE;
}

PROBE(probe) {
    u64 most = bytes / STEP;
    u64 ns_begin = ns_now(), first = 0, before = 0, after = 0;
#pragma unroll 1
    for (u32 setting = 0; setting < SETTINGS; ++setting) {
        u64 pages = pages_of(setting);
        bool last = pages >= most;
        if (last) pages = most;
        u32 rows = pages < LEAST_SPOTS ? (u32)((LEAST_SPOTS + pages - 1) / pages) : 1u;
        u64 spots = rows * pages;
        u32 half = half_bits(spots);
        __syncthreads();
        for (u64 i = threadIdx.x; i < spots; i += blockDim.x)
            *(char**)spot(data, place(i, spots, half), pages, rows) = spot(data, place(i + 1, spots, half), pages, rows);
        __threadfence();
        __syncthreads();
        u64 touched = 0;
        for (u64 i = threadIdx.x; i < spots; i += blockDim.x) {
            u64 value;
            asm volatile("ld.global.cg.u64 %0, [%1];" : "=l"(value) : "l"(spot(data, i, pages, rows)) : "memory");
            touched ^= value;
        }
        out[4096 + threadIdx.x] = (u32)touched;
        __syncthreads();
        if (threadIdx.x == 0) {
            char* p = spot(data, place(seed, spots, half), pages, rows);
            before = clock_now();
#pragma unroll 1
            for (u64 i = 0; i < iters; ++i) {
#pragma unroll
                for (int j = 0; j < CHAIN; ++j) asm volatile("ld.global.cg.u64 %0, [%0];" : "+l"(p)::"memory");
            }
            arrive(p);
            after = clock_now();
            if (setting == 0) first = before;
            store_row(out, setting, after - before, (u32)((p - data) / LINE));
        }
        if (last) break;
    }
    if (threadIdx.x == 0) store_record(records, first, after, ns_begin);
}
