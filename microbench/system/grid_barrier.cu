// Barriers between all blocks of a grid that fits at once. FLIP: the one of cooperative groups (block 0 adds what turns the
// top bit over, all wait for it to turn); COUNT: arrivals by a release add, awaited by acquire loads of the count.
#include "probe.cuh"

#define FLIP 0
#define COUNT 1

PROBE(prepare) {
    if (blockIdx.x == 0 && threadIdx.x < 64) ((u32*)data)[threadIdx.x] = 0;
}

__device__ __forceinline__ void flip(u32* arrived) {
    __syncthreads();
    if (threadIdx.x == 0) {
        __threadfence();
        u32 step = blockIdx.x == 0 ? 0x80000000u - (gridDim.x - 1u) : 1u;
        u32 before = atomicAdd(arrived, step);
        while (((before ^ *(volatile u32*)arrived) & 0x80000000u) == 0) {
        }
        __threadfence();
    }
    __syncthreads();
}

__device__ __forceinline__ void count(u32* arrived, u32& goal) {
    __syncthreads();
    if (threadIdx.x == 0) {
        u32 now;
        goal += gridDim.x;
        asm volatile("red.release.gpu.global.add.u32 [%0], 1;" ::"l"(arrived) : "memory");
        do asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(now) : "l"(arrived) : "memory");
        while ((int)(now - goal) < 0);
    }
    __syncthreads();
}

PROBE(probe) {
    u32 *arrived = (u32*)data, *other = (u32*)(data + 128), *tokens = (u32*)(data + 256);
    u32 start = *(volatile u32*)arrived, goal = start;  // all blocks read it before any adds
    flip(other);
    Span span = begin();
#pragma unroll 1
    for (u64 i = 0; i < iters; ++i) {
        if (ALGORITHM == FLIP) flip(arrived);
        else count(arrived, goal);
    }
    finish(span, records);
    if (threadIdx.x == 0) *(volatile u32*)(tokens + blockIdx.x) = seed + blockIdx.x;
    if (ALGORITHM == FLIP) flip(arrived);
    else count(arrived, goal);
    u32 added = *(volatile u32*)arrived - start;
    u32 left = *(volatile u32*)(tokens + (blockIdx.x + gridDim.x - 1) % gridDim.x);
    flip(other);  // nobody leaves, to start again, before all have read
    if (threadIdx.x == 0) {
        out[2 * blockIdx.x] = left;
        out[2 * blockIdx.x + 1] = added;
    }
}
