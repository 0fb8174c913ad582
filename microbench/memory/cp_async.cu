// Blocks stream through the working set by cp.async of 16 bytes a thread, STAGES copies of each thread in flight. Tile k of
// a block is blockIdx + k x gridDim; each thread reads back a word of what it copied.
#include "async.cuh"

#define BLOCK 256

// Word 3 of vector i holds i: a sum over the set is known to the host.
PROBE(prepare) {
    for (u64 i = thread_index(); i < bytes / 16; i += (u64)gridDim.x * blockDim.x) {
        u32* p = (u32*)data + 4 * i;
        p[0] = mix((u32)i + seed);
        p[1] = mix((u32)i * 3u + seed);
        p[2] = mix((u32)i * 7u + seed);
        p[3] = (u32)i;
    }
}

__device__ __forceinline__ void copy(u32 to, const char* from) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;\ncp.async.commit_group;" ::"r"(to), "l"(from) : "memory");
}

PROBE(probe) {
    __shared__ alignas(16) char ring[STAGES * BLOCK * 16];
    u32 own = shared_address(ring) + threadIdx.x * 16u, sum = 0, slot = own;
    u64 step = (u64)gridDim.x * BLOCK * 16, steps = bytes / step;
    const char* first = data + ((u64)blockIdx.x * BLOCK + threadIdx.x) * 16;
    const char* end = first + steps * step;
    const char* next = first;
    Span span = begin();
#pragma unroll
    for (int s = 0; s < STAGES; ++s) {
        copy(own + s * BLOCK * 16, next);
        next = next + step == end ? first : next + step;
    }
#pragma unroll 1
    for (u64 k = 0; k < iters * steps; ++k) {
        asm volatile("cp.async.wait_group %0;" ::"n"(STAGES - 1) : "memory");
        sum += load_shared(slot + 12u);
        copy(slot, next);
        next = next + step == end ? first : next + step;
        slot = slot == own + (STAGES - 1) * BLOCK * 16 ? own : slot + BLOCK * 16;
    }
    asm volatile("cp.async.wait_all;" ::: "memory");
    finish(span, records);
    out[thread_index()] = sum;
}
