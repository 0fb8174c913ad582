// A pointer chase through constant memory (LDC). Word k of each 64-byte line belongs to footprint k: it holds the
// address of word k of the line STEP further on, modulo the footprint. One launch goes through all footprints, one lane
// at a time: a lap to warm up, then the timed loads.
#include "table.cuh"

#define LINE 64
#define LINES 1024
#define FOOTPRINTS 16
#define STEP 13

__host__ __device__ constexpr u32 lines_of(u32 k) {
    constexpr u32 lines[FOOTPRINTS] = {8, 16, 24, 28, 32, 33, 36, 40, 48, 64, 128, 256, 384, 512, 768, 1024};
    return lines[k];
}

struct Rings {
    u32 words[LINES * FOOTPRINTS];
    __host__ __device__ constexpr Rings() : words() {
        for (u32 i = 0; i < LINES; ++i)
            for (u32 k = 0; k < FOOTPRINTS; ++k) words[i * FOOTPRINTS + k] = (i + STEP) % lines_of(k) * LINE + 4u * k;
    }
};

__constant__ Rings rings = Rings();

__device__ __forceinline__ u32 follow(u32 offset) {
    u32 next;
    asm volatile("ld.const.u32 %0, [%1];" : "=r"(next) : "r"(offset));
    return next;
}

PROBE(probe) {
    u64 ns_begin = ns_now(), first = 0, before = 0, after = 0;
    u32 base;
    asm("{ .reg .u64 t; cvta.to.const.u64 t, %1; cvt.u32.u64 %0, t; }" : "=r"(base) : "l"(&rings));
    if (threadIdx.x != 0) return;
#pragma unroll 1
    for (u32 k = 0; k < FOOTPRINTS; ++k) {
        u32 start = base + 4u * k, p = start;
        do p = follow(p);
        while (p != start);
        before = clock_now();
#pragma unroll 1
        for (u64 i = 0; i < iters; ++i) {
#pragma unroll
            for (int j = 0; j < CHAIN; ++j) p = follow(p);
        }
        after = clock_now();
        if (k == 0) first = before;
        store_row(out, k, after - before, p - base);
    }
    store_record(records, first, after, ns_begin);
}
