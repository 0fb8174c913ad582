// Every block reads its own share of a set of any size over and over, past L1: thread t takes vector t of the share, then
// those a block further on, modulo the share; every SM so has the same work at any size. `iters` accesses a thread, UNROLL
// in flight.
#include "probe.cuh"

#define UNROLL 4

struct Vector {
    u32 x, y, z, w;
};

PROBE(prepare) {
    u32* words = (u32*)data;
    for (u64 i = thread_index(); i < bytes / 4; i += (u64)gridDim.x * blockDim.x) words[i] = mix((u32)i);
}

PROBE(probe) {
    const Vector* vectors = (const Vector*)data;
    u64 count = bytes / 16, begins = blockIdx.x * count / gridDim.x;
    u32 share = (u32)((blockIdx.x + 1) * count / gridDim.x - begins), step = blockDim.x % share, sum = 0;
    u32 at = threadIdx.x % share;
    vectors += begins;
    for (u32 i = threadIdx.x; i < share; i += blockDim.x) {  // a lap, so that every run starts alike
        Vector v;
        asm volatile("ld.global.cg.v4.u32 {%0, %1, %2, %3}, [%4];"
                     : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
                     : "l"(vectors + i));
        sum += v.x;
    }
    out[thread_index()] = sum;
    sum = 0;
    Span span = begin();
#pragma unroll 1
    for (u64 i = 0; i < iters; i += UNROLL) {
        Vector v[UNROLL];
#pragma unroll
        for (int j = 0; j < UNROLL; ++j) {
            asm volatile("ld.global.cg.v4.u32 {%0, %1, %2, %3}, [%4];"
                         : "=r"(v[j].x), "=r"(v[j].y), "=r"(v[j].z), "=r"(v[j].w)
                         : "l"(vectors + at));
            at += step;
            at = at >= share ? at - share : at;
        }
#pragma unroll
        for (int j = 0; j < UNROLL; ++j) sum += v[j].x ^ v[j].y ^ v[j].z ^ v[j].w;
    }
    finish(span, records);
    out[thread_index()] = sum;
}
