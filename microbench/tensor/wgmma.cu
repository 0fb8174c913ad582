// Warpgroups issue batches of CHAIN wgmmas into one set of accumulators, walking through k slices of a tile.
#include "wgmma.cuh"

#define M 64
#define SLICES (SPARSE ? 2 : 4)  // k slices, so that operands change from one wgmma to the next
#define A_ROW (SLICES * 32)      // bytes of k in a row of A, as stored
#define B_ROW (SLICES * 32 * (SPARSE ? 2 : 1))
#define A_ELEMENTS (A_ROW / ELEMENT)
#define B_ELEMENTS (B_ROW / ELEMENT)

// Where an accumulator would leave its range or stop growing, each batch starts at zero; FRESH asks for it.
#ifndef FRESH
#define FRESH (HALVES || TYPE == E4M3 || TYPE == E5M2 || TYPE == E4M3_E5M2)
#endif

__device__ __forceinline__ u32 two_e4m3(float low, float high) {
    u16 packed;
    asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(packed) : "f"(high), "f"(low));
    return packed;
}

__device__ __forceinline__ u32 two_e5m2(float low, float high) {
    u16 packed;
    asm("cvt.rn.satfinite.e5m2x2.f32 %0, %1, %2;" : "=h"(packed) : "f"(high), "f"(low));
    return packed;
}

// -127 to 127: operand() is a whole number of 1/128 of at most 510.
__device__ __forceinline__ u32 s8(float value) { return (u32)(int)(value * 32.0f) & 255u; }

// A word of elements `index` and on, of A (side 0) or B (side 1).
__device__ __forceinline__ u32 word(u32 index, u32 seed, int side) {
    float x = operand(index, seed);
#if TYPE == TF32
    return __float_as_uint(x);
#else
    float y = operand(index + 1u, seed);
#if TYPE == F16 || TYPE == F16_F16
    return pack_f16(x, y);
#elif TYPE == BF16
    return pack_bf16(x, y);
#else
    float z = operand(index + 2u, seed), w = operand(index + 3u, seed);
#if TYPE == S8
    return s8(x) | s8(y) << 8 | s8(z) << 16 | s8(w) << 24;
#else
    bool e5m2 = TYPE == E5M2 || (TYPE == E4M3_E5M2 && side == 1);
    return e5m2 ? two_e5m2(x, y) | two_e5m2(z, w) << 16 : two_e4m3(x, y) | two_e4m3(z, w) << 16;
#endif
#endif
#endif
}

// Rows of `row_bytes` bytes of k, row after row from element `first` on.
__device__ __forceinline__ void fill(unsigned char* tile, u32 rows, u32 row_bytes, u32 first, u32 seed, int side) {
    for (u32 i = threadIdx.x; i < rows * row_bytes / 4u; i += blockDim.x) {
        u32 row = i / (row_bytes / 4u), k_byte = i % (row_bytes / 4u) * 4u;
        *(u32*)(tile + core_offset(row, k_byte, rows)) = word(first + (row * row_bytes + k_byte) / ELEMENT, seed, side);
    }
}

// A of slice `slice`: its descriptor, or this thread's registers of it (PTX ISA, register fragments of wgmma).
__device__ __forceinline__ Left left(const unsigned char* tile, u32 slice) {
    Left a;
#if FORM == RS
    u32 warp = threadIdx.x / 32u % 4u, lane = threadIdx.x % 32u;
#pragma unroll
    for (u32 i = 0; i < 4; ++i)
        a.r[i] = *(const u32*)(tile + core_offset(warp * 16u + lane / 4u + i % 2u * 8u, slice * 32u + lane % 4u * 4u + i / 2u * 16u, M));
#else
    a.descriptor = descriptor(shared_address(tile), M) + (u64)slice * (M * 32 / 16);
#endif
    return a;
}

__device__ __forceinline__ float half_of(u32 packed, int which) {
    float value;
    u16 bits = (u16)(packed >> (16 * which));
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
    return value;
}

// Elements 0, 1 and the last but one of what a thread holds, and the sum of all.
__device__ __forceinline__ void store(const ACCUMULATOR (&d)[REGISTERS], u32* results) {
#if HALVES
    float sum = 0.0f;
#pragma unroll
    for (int i = 0; i < REGISTERS; ++i) sum += half_of(d[i], 0) + half_of(d[i], 1);
    results[0] = __float_as_uint(half_of(d[0], 0));
    results[1] = __float_as_uint(half_of(d[0], 1));
    results[2] = __float_as_uint(half_of(d[REGISTERS - 1], 0));
    results[3] = __float_as_uint(sum);
#else
    ACCUMULATOR sum = 0;
#pragma unroll
    for (int i = 0; i < REGISTERS; ++i) sum += d[i];
    ACCUMULATOR* typed = (ACCUMULATOR*)results;
    typed[0] = d[0];
    typed[1] = d[1];
    typed[2] = d[REGISTERS - 2];
    typed[3] = sum;
#endif
}

// A[row][k] is operand(row * A_ELEMENTS + k), B[col][k] follows at M * A_ELEMENTS; every warpgroup reads the same tiles.
PROBE(probe) {
    __shared__ __align__(128) unsigned char tile_a[M * A_ROW];
    __shared__ __align__(128) unsigned char tile_b[N * B_ROW];
    fill(tile_a, M, A_ROW, 0, seed, 0);
    fill(tile_b, N, B_ROW, M * A_ELEMENTS, seed, 1);
    async_proxy_fence();
    __syncthreads();
    Left a[SLICES];
#pragma unroll
    for (u32 i = 0; i < SLICES; ++i) a[i] = left(tile_a, i);
    u64 b = descriptor(shared_address(tile_b), N);
    ACCUMULATOR d[REGISTERS];
#pragma unroll
    for (int i = 0; i < REGISTERS; ++i) d[i] = 0;
    Span span = begin();
#pragma unroll 1
    for (u64 i = 0; i < iters; ++i) {
        wgmma_fence();
#pragma unroll
        for (int j = 0; j < CHAIN; ++j) {
            u64 b_slice = b + (u64)(j % SLICES) * (N * (B_ROW / SLICES) / 16);
            if (FRESH && j == 0)
                wgmma<true>(d, a[j % SLICES], b_slice);
            else
                wgmma<false>(d, a[j % SLICES], b_slice);
        }
        wgmma_commit();
        wgmma_wait();
    }
    finish(span, records);
    store(d, out + (u64)thread_index() * 4u);
}
