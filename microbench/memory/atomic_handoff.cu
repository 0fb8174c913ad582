// Two threads hand a word to and fro by compare-and-swap: role 0 makes it odd steps, role 1 even ones. SPACE GLOBAL: on
// two SMs, half a grid apart, through L2; SHARED: two warps of one block. Tries are bounded: what is lost ends the game.
#include "async.cuh"

#define GLOBAL 0
#define SHARED 1
#define POISON 0xa5a5a5a5u
#define TRIES 16384u

__device__ __forceinline__ u32 swap(u32* global, u32 shared, u32 expected) {
    u32 seen;
#if SPACE == GLOBAL
    asm volatile("atom.global.cas.b32 %0, [%1], %2, %3;" : "=r"(seen) : "l"(global), "r"(expected), "r"(expected + 1u) : "memory");
#else
    asm volatile("atom.shared.cas.b32 %0, [%1], %2, %3;" : "=r"(seen) : "r"(shared), "r"(expected), "r"(expected + 1u) : "memory");
#endif
    return seen;
}

// out: [0] the word, [1 + role] hand-offs made, [3 + role] the SM.
PROBE(probe) {
    __shared__ u32 word;
    u32 one = seed % gridDim.x, other = (seed + gridDim.x / 2u) % gridDim.x, flag = shared_address(&word);
    u32 role = SPACE == SHARED ? threadIdx.x / 32u : threadIdx.x ? 2u : blockIdx.x == one ? 0u : blockIdx.x == other ? 1u : 2u;
    if (threadIdx.x == 0) store_shared(flag, POISON);
    __syncthreads();
    if (role > 1u || (threadIdx.x & 31u)) return;
    u64 ns_begin = ns_now(), clock_begin = clock_now(), done = 0;
    u32 expected = POISON + role, tries = 0;
#pragma unroll 1
    while (done < iters && tries < TRIES) {
        bool taken = swap(out, flag, expected) == expected;
        tries = taken ? 0u : tries + 1u;
        expected += taken ? 2u : 0u;
        done += taken ? 1u : 0u;
    }
    u64 clock = clock_now();
    out[1 + role] = (u32)done;
    out[3 + role] = sm_id();
    if (role == 0) {
        Record record = {clock_begin, clock, ns_begin, ns_now(), sm_id()};
        records[0] = record;
    }
}
