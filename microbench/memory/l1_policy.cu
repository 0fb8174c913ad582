// Single timed loads after something else has happened to a line that L2 holds: which events leave its data in L1? One
// launch goes through all events, each on LINES fresh lines a SPACING apart; then each line's first word is loaded between
// two clock reads.
#include "lap.cuh"
#include "table.cuh"

#define LINES 64
#define SPACING 256
#define EVENTS 20
#define REGION (LINES * SPACING)
#define OTHERS 1024
#define HIT_BELOW 120u

// Events 0 .. 8: nothing, or a load of a word at a distance; then stores, a reduction; then a load with a hint and OTHERS
// loads of other lines after it.
#define FIRST_STORE 9u
#define LOAD_STORE 10u
#define STORE_OTHER 11u
#define LOAD_STORE_OTHER 12u
#define REDUCTION 13u
#define FIRST_HINT 14u

PROBE(prepare) {
    u32* words = (u32*)data;
    for (u64 i = thread_index(); i < bytes / 4; i += (u64)gridDim.x * blockDim.x) words[i] = 7u;
}

__device__ __forceinline__ u32 plain(const char* p) {
    u32 x;
    asm volatile("ld.global.u32 %0, [%1];" : "=r"(x) : "l"(p) : "memory");
    return x;
}

__device__ __forceinline__ u32 hinted(const char* p, u32 hint) {
    u32 x = 0;
    if (hint == 0) x = plain(p);
    if (hint == 1) asm volatile("ld.global.L1::evict_last.u32 %0, [%1];" : "=r"(x) : "l"(p) : "memory");
    if (hint == 2) asm volatile("ld.global.L1::evict_first.u32 %0, [%1];" : "=r"(x) : "l"(p) : "memory");
    if (hint == 3) asm volatile("ld.global.L1::no_allocate.u32 %0, [%1];" : "=r"(x) : "l"(p) : "memory");
    if (hint == 4) asm volatile("ld.global.cg.u32 %0, [%1];" : "=r"(x) : "l"(p) : "memory");
    if (hint == 5) asm volatile("ld.global.cs.u32 %0, [%1];" : "=r"(x) : "l"(p) : "memory");
    return x;
}

__device__ __forceinline__ void store(char* p, u32 value) {
    asm volatile("st.global.u32 [%0], %1;" ::"l"(p), "r"(value) : "memory");
}

// The load that an event begins with, if any.
__device__ __forceinline__ u32 load_first(const char* p, u32 event) {
    if (event >= FIRST_HINT) return hinted(p, event - FIRST_HINT);
    if (event > 0 && event < FIRST_STORE) {
        u32 rank = event - 1u;  // distances 0, 4, 16, 28, 32, 64, 96, 128
        return plain(p + (rank == 0 ? 0u : rank == 1 ? 4u : rank == 2 ? 16u : rank == 3 ? 28u : (rank - 3u) * 32u));
    }
    return event == LOAD_STORE || event == LOAD_STORE_OTHER || event == REDUCTION ? plain(p) : 0u;
}

// The store or reduction that it ends with, if any.
__device__ __forceinline__ void write_then(char* p, u32 event, u32 seed) {
    if (event == FIRST_STORE || event == LOAD_STORE) store(p, seed);
    if (event == STORE_OTHER || event == LOAD_STORE_OTHER) store(p + 4, seed);
    if (event == REDUCTION) asm volatile("red.global.add.u32 [%0], %1;" ::"l"(p), "r"(0) : "memory");
}

PROBE(probe) {
    if (threadIdx.x != 0) return;
    u64 ns_begin = ns_now(), first = 0, before = 0, after = 0;
    u32 half = half_bits(LINES);
#pragma unroll 1
    for (u32 event = 0; event < EVENTS; ++event) {
        char* region = data + event * REGION;
        char* others = data + (1u << 20) + (event << 19);  // other lines for each event
        u64 total = 0;
        u32 sum = 0, hits = 0;
        for (u32 i = 0; i < 2 * LINES; ++i) sum += hinted(region + i * (SPACING / 2) + 64, 4);  // into L2
        for (u32 i = 2 * OTHERS; event >= FIRST_HINT && i < 4 * OTHERS; ++i) sum += plain(others + i * 128u);  // L1 is full
        for (u32 i = 0; i < LINES; ++i) sum += load_first(region + (u32)place(i, LINES, half) * SPACING, event);
        arrive((char*)(u64)sum);
        for (u32 i = 0; i < LINES; ++i) write_then(region + (u32)place(i, LINES, half) * SPACING, event, seed);
        for (u32 i = 0; event >= FIRST_HINT && i < OTHERS; ++i) sum += plain(others + i * 128u);
        arrive((char*)(u64)sum);  // all of it is over
        sum = 0;
#pragma unroll 1
        for (u32 i = 0; i < LINES; ++i) {
            char* p = region + (u32)place(i, LINES, half) * SPACING;
            u32 x;
            before = clock_now();
            asm volatile("ld.global.u32 %0, [%1];" : "=r"(x) : "l"(p) : "memory");
            arrive((char*)(u64)x);
            after = clock_now();
            if (first == 0) first = before;
            total += after - before;
            hits += after - before < HIT_BELOW;
            sum += x;
        }
        store_row(out, event, total << 8 | hits, sum);
    }
    store_record(records, first, after, ns_begin);
}
