// Blocks stream through the working set with UNROLL 16-byte accesses in flight a thread. MODE: READ, WRITE and COPY (lower
// half to upper) share the set out among the blocks; READ_ALL has every block read all of it, each from its own place.
// Loads and stores bypass L1 (cg), so that a set smaller than L2 measures L2 and a larger one DRAM.
#include "probe.cuh"

#define READ 0
#define WRITE 1
#define COPY 2
#define READ_ALL 3
#define SHARED_OUT (MODE != READ_ALL)

struct Vector {
    u32 x, y, z, w;
};

__device__ __forceinline__ Vector load(const Vector* p) {
    Vector v;
    asm volatile("ld.global.cg.v4.u32 {%0, %1, %2, %3}, [%4];" : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "l"(p));
    return v;
}

__device__ __forceinline__ void store(Vector* p, const Vector& v) {
    asm volatile("st.global.cg.v4.u32 [%0], {%1, %2, %3, %4};" ::"l"(p), "r"(v.x), "r"(v.y), "r"(v.z), "r"(v.w) : "memory");
}

// Word 3 of vector i holds i: a sum over the set is known to the host.
PROBE(prepare) {
    Vector* vectors = (Vector*)data;
    for (u64 i = thread_index(); i < bytes / 16; i += (u64)gridDim.x * blockDim.x) {
        Vector v = {mix((u32)i + seed), mix((u32)i * 3u + seed), mix((u32)i * 7u + seed), (u32)i};
        store(vectors + i, v);
    }
}

PROBE(probe) {
    Vector* vectors = (Vector*)data;
    u64 count = bytes / 16 / (MODE == COPY ? 2 : 1);
    u64 tile = (u64)blockDim.x * UNROLL, tiles = count / tile;
    u64 first = blockIdx.x * tiles / gridDim.x;
    u32 sum = 0;
    Vector value = {seed, seed, seed, seed};
    Span span = begin();
#pragma unroll 1
    for (u64 pass = 0; pass < iters; ++pass) {
#pragma unroll 1
        for (u64 t = SHARED_OUT ? blockIdx.x : 0; t < tiles; t += SHARED_OUT ? gridDim.x : 1) {
            u64 place = SHARED_OUT ? t : t + first;
            if (place >= tiles) place -= tiles;
            Vector* p = vectors + place * tile + threadIdx.x;
            Vector v[UNROLL];
            if (MODE != WRITE) {
#pragma unroll
                for (int j = 0; j < UNROLL; ++j) v[j] = load(p + (u64)j * blockDim.x);
            }
#pragma unroll
            for (int j = 0; j < UNROLL; ++j) {
                if (MODE == READ || MODE == READ_ALL) sum += v[j].x ^ v[j].y ^ v[j].z ^ v[j].w;
                if (MODE == WRITE) store(p + (u64)j * blockDim.x, value);
                if (MODE == COPY) store(p + count + (u64)j * blockDim.x, v[j]);
            }
        }
    }
    finish(span, records);
    out[thread_index()] = sum;
}
