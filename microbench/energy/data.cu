// Streams of 16-byte accesses to one level of the memory hierarchy; fewer or more warps set the rate. SHARED and L1 read
// at two places in turn (at one, the loads would be moved out of the loop), L2 and READ walk through the set, WRITE
// stores to it; past L1 (cg) but for L1.
#include "probe.cuh"

#define SHARED 0
#define L1 1
#define L2 2
#define READ 3
#define WRITE 4
#define UNROLL 8
#define SHARED_BYTES 32768
#define SHARED_STEP 3072   // between a thread's accesses; 512 threads and nine steps stay below SHARED_BYTES
#define BLOCK_BYTES 73728  // of global memory that a block keeps in L1
#define L1_STEP 8192

struct Vector {
    u32 x, y, z, w;
};

__device__ __forceinline__ Vector content(u64 i) {
    return {mix((u32)i), mix((u32)i * 3u), mix((u32)i * 7u), mix((u32)i * 11u)};
}

__device__ __forceinline__ Vector load(const char* p) {
    Vector v;
    if (LEVEL == L1)
        asm volatile("ld.global.v4.u32 {%0, %1, %2, %3}, [%4];" : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "l"(p));
    else
        asm volatile("ld.global.cg.v4.u32 {%0, %1, %2, %3}, [%4];" : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "l"(p));
    return v;
}

__device__ __forceinline__ void store(char* p, const Vector& v) {
    asm volatile("st.global.cg.v4.u32 [%0], {%1, %2, %3, %4};" ::"l"(p), "r"(v.x), "r"(v.y), "r"(v.z), "r"(v.w) : "memory");
}

PROBE(prepare) {
    for (u64 i = thread_index(); i < bytes / 16; i += (u64)gridDim.x * blockDim.x) {
        Vector v = content(i);
        asm volatile("st.global.v4.u32 [%0], {%1, %2, %3, %4};" ::"l"(data + i * 16), "r"(v.x), "r"(v.y), "r"(v.z), "r"(v.w));
    }
}

#if LEVEL == SHARED
PROBE(probe) {
    __shared__ __align__(16) char set[SHARED_BYTES];
    for (u32 i = threadIdx.x; i < SHARED_BYTES / 16; i += blockDim.x) *(uint4*)(set + i * 16) = *(uint4*)(data + i * 16);
    u32 base;
    asm("{ .reg .u64 t; cvta.to.shared.u64 t, %1; cvt.u32.u64 %0, t; }" : "=r"(base) : "l"(set));
    base += threadIdx.x * 16u;
    u32 sum = 0, step = iters ? SHARED_STEP : 0u, shift = 0;
    Span span = begin();
#pragma unroll 1
    for (u64 pass = 0; pass < iters; ++pass) {
        Vector v[UNROLL];
#pragma unroll
        for (int j = 0; j < UNROLL; ++j)
            asm volatile("ld.shared.v4.u32 {%0, %1, %2, %3}, [%4];"
                         : "=r"(v[j].x), "=r"(v[j].y), "=r"(v[j].z), "=r"(v[j].w) : "r"(base + shift + j * SHARED_STEP));
        shift = step - shift;
#pragma unroll
        for (int j = 0; j < UNROLL; ++j) sum += v[j].x ^ v[j].y ^ v[j].z ^ v[j].w;
    }
    finish(span, records);
    out[thread_index()] = sum;
}
#else
PROBE(probe) {
    u64 tile = (u64)blockDim.x * 16 * UNROLL, tiles = bytes / tile, place = blockIdx.x;
    char* base = data + threadIdx.x * 16u;
    char* p = base;
    u32 sum = 0, step = iters ? L1_STEP : 0u, shift = 0;
    Vector value = content(thread_index() + seed);
    Span span = begin();
#pragma unroll 1
    for (u64 pass = 0; pass < iters; ++pass) {
        if (LEVEL != L1) p = base + place * tile;
        if (LEVEL == L1) p = base + (u64)blockIdx.x * BLOCK_BYTES + shift;
        shift = step - shift;
        Vector v[UNROLL];
#pragma unroll
        for (int j = 0; j < UNROLL; ++j) {
            value.w = (u32)pass;
            if (LEVEL == WRITE) store(p + j * blockDim.x * 16u, value);
            if (LEVEL != WRITE) v[j] = load(p + j * blockDim.x * 16u);
        }
        if (LEVEL != WRITE) {
#pragma unroll
            for (int j = 0; j < UNROLL; ++j) sum += v[j].x ^ v[j].y ^ v[j].z ^ v[j].w;
        }
        place += gridDim.x;
        if (place >= tiles) place -= tiles;
    }
    finish(span, records);
    if (LEVEL == WRITE) {  // what the last pass stored, read back
        Vector v = load(p + (UNROLL - 1) * blockDim.x * 16u);
        sum = v.x ^ v.y ^ v.z ^ v.w;
    }
    out[thread_index()] = sum;
}
#endif
