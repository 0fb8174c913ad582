// 32 warps read data that L1 holds, in patterns: lanes STRIDE elements apart, or a warp as a rectangle of rows. One launch
// goes through all patterns; the UNROLL accesses of a pass lie a line apart.
#include "table.cuh"

#define UNROLL 8
#define PATTERNS 14
#define STRIDES 8
#define PITCH 4098

PROBE(prepare) {
    u32* words = (u32*)data;
    for (u64 i = thread_index(); i < bytes / 4; i += (u64)gridDim.x * blockDim.x) words[i] = mix((u32)i);
}

__device__ __forceinline__ u32 load(const char* p) {
    u32 x, y = 0, z = 0, w = 0;
    if (WIDTH == 4) asm volatile("ld.global.u32 %0, [%1];" : "=r"(x) : "l"(p) : "memory");
    if (WIDTH == 8) asm volatile("ld.global.v2.u32 {%0, %1}, [%2];" : "=r"(x), "=r"(y) : "l"(p) : "memory");
    if (WIDTH == 16)
        asm volatile("ld.global.v4.u32 {%0, %1, %2, %3}, [%4];" : "=r"(x), "=r"(y), "=r"(z), "=r"(w) : "l"(p) : "memory");
    return x ^ y ^ z ^ w;
}

// Element that a thread reads: patterns 0 .. 7 are strides of 0, 1, 2, 3, 4, 8, 16, 32; the others rectangles 1, 2, 4 ..
// 32 elements wide, whose rows lie PITCH elements apart.
__device__ __forceinline__ u32 element(u32 pattern, u32 warp, u32 lane) {
    if (pattern < STRIDES) return warp * 32u + lane * (pattern < 5u ? pattern : 1u << (pattern - 2u));
    u32 width = 1u << (pattern - STRIDES);
    return warp * width + lane % width + lane / width * PITCH;
}

PROBE(probe) {
    u64 zero = bytes >> 60;  // which the compiler does not know: else one pass would do for all
    u64 ns_begin = ns_now(), first = 0, before = 0, after = 0;
#pragma unroll 1
    for (u32 pattern = 0; pattern < PATTERNS; ++pattern) {
        const char* p = data + (u64)element(pattern, threadIdx.x / 32u, threadIdx.x % 32u) * WIDTH;
        u32 sum = 0;
        for (int j = 0; j < UNROLL; ++j) sum += load(p + 128 * j);  // into L1
        out[256 + threadIdx.x] = sum;
        sum = 0;
        __syncthreads();
        before = clock_now();
#pragma unroll 1
        for (u64 pass = 0; pass < iters; ++pass) {
            p += zero;
#pragma unroll
            for (int j = 0; j < UNROLL; ++j) sum += load(p + 128 * j);
        }
        __syncthreads();
        after = clock_now();
        if (pattern == 0) first = before;
        if (threadIdx.x == (pattern * 37u + seed) % blockDim.x) store_row(out, pattern, after - before, sum);
    }
    if (threadIdx.x == 0) store_record(records, first, after, ns_begin);
}
