// A random cycle through every line of a footprint: after line perm(i) comes line perm(i + 1).
// perm is a bijection on [0, lines): a four-round Feistel network over the next even number of bits, walked until it
// lands inside. Any place on the lap can be computed, here and on the host (gpuprobe.operands.Lap), so a chase may
// start anywhere and its last address can be checked exactly.
#pragma once
#include "probe.cuh"

#ifndef LINE
#define LINE 128
#endif

__device__ __forceinline__ u32 feistel(u32 x, u32 half) {
    u32 mask = (1u << half) - 1u, left = x >> half, right = x & mask;
#pragma unroll
    for (u32 round = 1; round <= 4; ++round) {
        u32 next = left ^ (mix(right + round * 0x9e3779b9u) & mask);
        left = right;
        right = next;
    }
    return (left << half) | right;
}

__device__ __forceinline__ u32 half_bits(u64 lines) {
    u32 half = 1;
    while ((1ull << (2 * half)) < lines) ++half;
    return half;
}

__device__ __forceinline__ u64 place(u64 index, u64 lines, u32 half) {
    u32 x = (u32)(index % lines);
    do x = feistel(x, half);
    while (x >= lines);
    return x;
}

// Makes what follows wait for `p`: a store cannot issue before the load that gives its value has returned.
__device__ __forceinline__ void arrive(const char* p) {
    __shared__ u64 slot;
    u32 address;
    asm("{ .reg .u64 t; cvta.to.shared.u64 t, %1; cvt.u32.u64 %0, t; }" : "=r"(address) : "l"(&slot));
    asm volatile("st.shared.u64 [%0], %1;" ::"r"(address), "l"(p) : "memory");
}
