// mma.sync.m16n8k16 with FP32 accumulators for f16 and bf16 operands (PTX ISA 9.7.14.5.8, fragments of m16n8k16).
#pragma once
#include "probe.cuh"

#define F16 0
#define BF16 1

struct Operands {
    u32 a[4], b[2];
};

__device__ __forceinline__ u32 pack(float low, float high) { return TYPE == F16 ? pack_f16(low, high) : pack_bf16(low, high); }

// A[row][k] is operand(row * 16 + k), B[k][col] is operand(256 + k * 8 + col): the same tile in every warp.
__device__ __forceinline__ Operands operands(u32 seed) {
    u32 lane = threadIdx.x & 31u, group = lane >> 2, pair = (lane & 3u) * 2u;
    Operands o;
#pragma unroll
    for (u32 i = 0; i < 4; ++i) {
        u32 row = group + (i & 1u) * 8u, k = pair + (i >> 1) * 8u;
        o.a[i] = pack(operand(row * 16u + k, seed), operand(row * 16u + k + 1u, seed));
    }
#pragma unroll
    for (u32 i = 0; i < 2; ++i) {
        u32 k = pair + i * 8u;
        o.b[i] = pack(operand(256u + k * 8u + group, seed), operand(256u + (k + 1u) * 8u + group, seed));
    }
    return o;
}

__device__ __forceinline__ void mma(float (&d)[4], const Operands& o) {
    if (TYPE == F16)
        asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                     : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                     : "r"(o.a[0]), "r"(o.a[1]), "r"(o.a[2]), "r"(o.a[3]), "r"(o.b[0]), "r"(o.b[1]));
    else
        asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                     : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                     : "r"(o.a[0]), "r"(o.a[1]), "r"(o.a[2]), "r"(o.a[3]), "r"(o.b[0]), "r"(o.b[1]));
}
