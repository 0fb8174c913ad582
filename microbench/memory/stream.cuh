// Blocks stream through a set with UNROLL 16-byte accesses in flight a thread. MODE: READ, WRITE, COPY (lower half to
// upper) and TRIAD (a = b + s * c in thirds, on 32-bit integers, exact on the host) share the set out among the blocks;
// READ_ALL has every block read all of it, each from its own place. Loads and stores bypass L1 (cg), so that a set smaller
// than L2 measures L2 and a larger one DRAM. What is written holds the number of the pass; after the clocks have stopped
// every thread reads some of it back, and the host knows the sum (gpuprobe.families.streams).
#pragma once
#include "probe.cuh"

#define READ 0
#define WRITE 1
#define COPY 2
#define READ_ALL 3
#define TRIAD 4
#define WRITES (MODE == WRITE || MODE == COPY || MODE == TRIAD)
#define PARTS (MODE == TRIAD ? 3 : MODE == COPY ? 2 : 1)
#define SHARED_OUT (MODE != READ_ALL)
#define READ_BACK 4

// Every pass goes over WINDOWS sets, one after another with all their passes; each lies at one of SPREAD places, which the
// seed decides, in its own part of the working set.
#ifndef WINDOWS
#define WINDOWS 1
#define SPREAD 1
#endif

struct Vector {
    u32 x, y, z, w;
};

__device__ __forceinline__ Vector load(const Vector* p) {
    Vector v;
    asm volatile("ld.global.cg.v4.u32 {%0, %1, %2, %3}, [%4];" : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "l"(p) : "memory");
    return v;
}

__device__ __forceinline__ void store(Vector* p, const Vector& v) {
    asm volatile("st.global.cg.v4.u32 [%0], {%1, %2, %3, %4};" ::"l"(p), "r"(v.x), "r"(v.y), "r"(v.z), "r"(v.w) : "memory");
}

__device__ __forceinline__ u32 fold(const Vector& v) { return v.x ^ v.y ^ v.z ^ v.w; }

__device__ __forceinline__ Vector triad(const Vector& b, u32 s, const Vector& c) {
    Vector a = {b.x + s * c.x, b.y + s * c.y, b.z + s * c.z, b.w + s * c.w};
    return a;
}

// Every vector is known to the host from its index.
PROBE(prepare) {
    Vector* vectors = (Vector*)data;
    for (u64 i = thread_index(); i < bytes / 16; i += (u64)gridDim.x * blockDim.x) {
        Vector v = {mix((u32)i), mix((u32)i * 3u), mix((u32)i * 7u), (u32)i};
        store(vectors + i, v);
    }
}

// First vector of set `window`; `count` vectors a part.
__device__ __forceinline__ Vector* set_of(char* data, u64 count, u32 window, u32 seed) {
    u32 place = window * SPREAD + mix(seed + window) % SPREAD;
    return (Vector*)data + place * (count * PARTS);
}

PROBE(probe) {
    u64 count = bytes / (WINDOWS * SPREAD) / 16 / PARTS;
    u64 tile = (u64)blockDim.x * UNROLL, tiles = count / tile;
    u64 first = blockIdx.x * tiles / gridDim.x;
    u32 sum = 0;
    Span span = begin();
#pragma unroll 1
    for (u64 turn = 0, pass = 0, window = 0; turn < iters * WINDOWS; ++turn) {
        Vector* from = set_of(data, count, (u32)window, seed);
        Vector* to = from + (PARTS - 1) * count;
        u32 tag = seed + (u32)pass;
#pragma unroll 1
        for (u64 t = SHARED_OUT ? blockIdx.x : 0; t < tiles; t += SHARED_OUT ? gridDim.x : 1) {
            u64 place = SHARED_OUT ? t : t + first;
            if (place >= tiles) place -= tiles;
            u64 offset = place * tile + threadIdx.x;
            Vector v[UNROLL], c[UNROLL];
#pragma unroll
            for (int j = 0; j < UNROLL; ++j) {
                if (MODE != WRITE) v[j] = load(from + offset + (u64)j * blockDim.x);
                if (MODE == TRIAD) c[j] = load(from + count + offset + (u64)j * blockDim.x);
            }
#pragma unroll
            for (int j = 0; j < UNROLL; ++j) {
                if (MODE == READ || MODE == READ_ALL) sum += fold(v[j]);
                if (MODE == WRITE) v[j] = {tag, (u32)place, threadIdx.x, 0x9e3779b9u};
                if (MODE == COPY) v[j].x += tag;
                if (MODE == TRIAD) v[j] = triad(v[j], tag, c[j]);
                if (WRITES) store(to + offset + (u64)j * blockDim.x, v[j]);
            }
        }
        if (++pass == iters) pass = 0, ++window;
    }
    finish(span, records);
    u32 mine = blockIdx.x < tiles ? (u32)((tiles - blockIdx.x - 1) / gridDim.x) + 1u : 0u;
    for (u32 k = 0; WRITES && mine != 0 && k < READ_BACK; ++k) {
        Vector* to = set_of(data, count, (seed + k) % WINDOWS, seed) + (PARTS - 1) * count;
        u64 place = blockIdx.x + (u64)(mix(seed + k) % mine) * gridDim.x;
#pragma unroll 1
        for (int j = 0; j < UNROLL; ++j) sum += fold(load(to + place * tile + threadIdx.x + (u64)j * blockDim.x));
    }
    out[thread_index()] = sum;
}
