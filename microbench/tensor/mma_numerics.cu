// Tiles of 64 x 8 dot products by one mma.sync a warp, or (FORM=SS) by one wgmma a warpgroup, results as bits.
#include "numerics.cuh"

#if defined(FORM)
#define N 8
#define SPARSE 0
#include "wgmma.cuh"
#endif

#if TYPE == F64
#define WORDS 2  // u32 a result
#else
#define WORDS 1
#define ELEMENTS (K / 8)  // in a 32-bit register
#define BITS (32 / ELEMENTS)
#endif

#if TYPE != F64
// Registers hold 4 bytes of k: byte lane % 4 * 4 + 16 i of a row or column (PTX ISA, fragments of m16n8 and m64n8).
__device__ __forceinline__ u32 a_word(u32 tile, u32 row, u32 byte, u32 seed) {
    u32 word = 0;
#pragma unroll 1
    for (u32 e = 0; e < ELEMENTS; ++e) word |= (u32)a_bits(tile, row, byte / 4u * ELEMENTS + e, seed) << (TYPE == TF32 ? 13 : BITS * e);
    return word;
}

__device__ __forceinline__ u32 b_word(u32 tile, u32 column, u32 byte, u32 seed) {
    u32 word = 0;
#pragma unroll 1
    for (u32 e = 0; e < ELEMENTS; ++e) word |= (u32)b_bits(tile, column, byte / 4u * ELEMENTS + e, seed) << (TYPE == TF32 ? 13 : BITS * e);
    return word;
}
#endif

#if TYPE == F16
#define MMA_KIND "m16n8k16.row.col.f32.f16.f16.f32"
#elif TYPE == F16_F16
#define MMA_KIND "m16n8k16.row.col.f16.f16.f16.f16"
#elif TYPE == BF16
#define MMA_KIND "m16n8k16.row.col.f32.bf16.bf16.f32"
#elif TYPE == TF32
#define MMA_KIND "m16n8k8.row.col.f32.tf32.tf32.f32"
#elif TYPE == E4M3
#define MMA_KIND "m16n8k32.row.col.f32.e4m3.e4m3.f32"
#elif TYPE == E5M2
#define MMA_KIND "m16n8k32.row.col.f32.e5m2.e5m2.f32"
#endif

#define HALF_RESULTS (TYPE == F16_F16 || TYPE == E4M3_F16)

#if TYPE == F64
__device__ __forceinline__ void multiply(u64 (&d)[4], u32 tile, u32 row, u32 column, u32 seed) {
    u32 lane = threadIdx.x % 32u;
#pragma unroll
    for (u32 half = 0; half < 2; ++half) {  // 8 rows an instruction
        double a = __longlong_as_double(a_bits(tile, row + 8u * half, lane % 4u, seed));
        double b = __longlong_as_double(b_bits(tile, lane / 4u, lane % 4u, seed));
        double d0 = __longlong_as_double(d[2 * half]), d1 = __longlong_as_double(d[2 * half + 1]);
        asm volatile("mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64 {%0,%1}, {%2}, {%3}, {%0,%1};" : "+d"(d0), "+d"(d1) : "d"(a), "d"(b));
        d[2 * half] = __double_as_longlong(d0);
        d[2 * half + 1] = __double_as_longlong(d1);
    }
}
#elif defined(FORM)
__device__ __forceinline__ void multiply(u64 (&c)[4], u32 tile, u32 row, u32 column, u32 seed) {
    __shared__ __align__(128) unsigned char tile_a[ROWS * 32], tile_b[COLUMNS * 32];
    __syncthreads();  // the tile before is read
    for (u32 i = threadIdx.x; i < ROWS * 8u; i += blockDim.x)
        *(u32*)(tile_a + core_offset(i / 8u, i % 8u * 4u, ROWS)) = a_word(tile, i / 8u, i % 8u * 4u, seed);
    for (u32 i = threadIdx.x; i < COLUMNS * 8u; i += blockDim.x)
        *(u32*)(tile_b + core_offset(i / 8u, i % 8u * 4u, COLUMNS)) = b_word(tile, i / 8u, i % 8u * 4u, seed);
    async_proxy_fence();
    __syncthreads();
    Left a;
    a.descriptor = descriptor(shared_address(tile_a), ROWS);
    u64 b = descriptor(shared_address(tile_b), COLUMNS);
    ACCUMULATOR d[REGISTERS];
#if HALF_RESULTS
    d[0] = (u32)(c[0] | c[1] << 16);
    d[1] = (u32)(c[2] | c[3] << 16);
#else
#pragma unroll
    for (int i = 0; i < 4; ++i) d[i] = __uint_as_float((u32)c[i]);
#endif
    wgmma_fence();
    wgmma<false>(d, a, b);
    wgmma_commit();
    wgmma_wait();
#pragma unroll
    for (int i = 0; i < 4; ++i) {
#if HALF_RESULTS
        c[i] = d[i / 2] >> (i % 2 * 16) & 0xFFFFu;
#else
        c[i] = __float_as_uint(d[i]);
#endif
    }
}
#else
__device__ __forceinline__ void multiply(u64 (&c)[4], u32 tile, u32 row, u32 column, u32 seed) {
    u32 lane = threadIdx.x % 32u, a[4], b[2];
#pragma unroll
    for (u32 i = 0; i < 4; ++i) a[i] = a_word(tile, row + i % 2u * 8u, lane % 4u * 4u + i / 2u * 16u, seed);
#pragma unroll
    for (u32 i = 0; i < 2; ++i) b[i] = b_word(tile, lane / 4u, lane % 4u * 4u + i * 16u, seed);
#if HALF_RESULTS
    u32 d[2] = {(u32)(c[0] | c[1] << 16), (u32)(c[2] | c[3] << 16)};
    asm volatile("mma.sync.aligned." MMA_KIND " {%0,%1}, {%2,%3,%4,%5}, {%6,%7}, {%0,%1};"
                 : "+r"(d[0]), "+r"(d[1])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#pragma unroll
    for (int i = 0; i < 4; ++i) c[i] = d[i / 2] >> (i % 2 * 16) & 0xFFFFu;
#else
    float d[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) d[i] = __uint_as_float((u32)c[i]);
    asm volatile("mma.sync.aligned." MMA_KIND " {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#pragma unroll
    for (int i = 0; i < 4; ++i) c[i] = __float_as_uint(d[i]);
#endif
}
#endif

// `iters` random tiles after the designed ones; out holds tile, row, column, and at the end the seed.
PROBE(probe) {
    u32 warp = threadIdx.x / 32u, lane = threadIdx.x % 32u;
    u32 row = warp * 16u + lane / 4u, column = lane % 4u * 2u;
    Span span = begin();
#pragma unroll 1
    for (u32 tile = blockIdx.x; tile < DESIGNED + (u32)iters; tile += gridDim.x) {
        u64 d[4];
#pragma unroll
        for (u32 i = 0; i < 4; ++i) d[i] = c_bits(tile, row + i / 2u * 8u, column + i % 2u, seed);
        multiply(d, tile, row, column, seed);
#pragma unroll
        for (u32 i = 0; i < 4; ++i) {
            u32 place = ((tile * ROWS + row + i / 2u * 8u) * COLUMNS + column + i % 2u) * WORDS;
            out[place] = (u32)d[i];
            if (WORDS == 2) out[place + 1u] = (u32)(d[i] >> 32);
        }
    }
    finish(span, records);
    if (thread_index() == 0) out[(DESIGNED + (u32)iters) * ROWS * COLUMNS * WORDS] = seed;
}
