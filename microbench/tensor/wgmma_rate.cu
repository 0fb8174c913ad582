// Warpgroups issue wgmma.m64n256k16 with both operands in shared memory (SS), f16 or bf16 to FP32.
#include "probe.cuh"

#define F16 0
#define BF16 1
#define SLICES 4  // k slices of 16 that a warpgroup walks through, so that operands change from one wgmma to the next
#define K (SLICES * 16)
#define M 64
#define N 256

__device__ __forceinline__ u32 pack(float low, float high) { return TYPE == F16 ? pack_f16(low, high) : pack_bf16(low, high); }

// Core matrices of 8 rows x 16 bytes, no swizzle: one beside the next along the rows, then along k.
__device__ __forceinline__ u32 core_offset(u32 row, u32 k, u32 rows) {
    return (k / 8u) * (rows * 16u) + (row / 8u) * 128u + (row % 8u) * 16u + (k % 8u) * 2u;
}

// Matrix descriptor (PTX ISA, "Matrix Descriptor Format" of wgmma): leading offset along k, stride offset along rows.
__device__ __forceinline__ u64 descriptor(u32 address, u32 rows) {
    return (u64)((address & 0x3FFFFu) >> 4) | ((u64)rows << 16) | ((u64)(128u >> 4) << 32);
}

__device__ __forceinline__ u32 shared_address(const void* p) {
    u32 address;
    asm("{ .reg .u64 t; cvta.to.shared.u64 t, %1; cvt.u32.u64 %0, t; }" : "=r"(address) : "l"(p));
    return address;
}

#define D4(i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3])
#define D16(i) D4(i), D4(i + 4), D4(i + 8), D4(i + 12)
#define D128 D16(0), D16(16), D16(32), D16(48), D16(64), D16(80), D16(96), D16(112)
#define REGISTERS \
    "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, " \
    "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, " \
    "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, " \
    "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, " \
    "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, " \
    "%80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, " \
    "%96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, " \
    "%112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127 "
#define WGMMA(type) \
    asm volatile("wgmma.mma_async.sync.aligned.m64n256k16.f32." type "." type " {" REGISTERS "}, %128, %129, 1, 1, 1, 0, 0;" \
                 : D128 : "l"(a), "l"(b))

__device__ __forceinline__ void wgmma(float (&d)[128], u64 a, u64 b) {
    if (TYPE == F16)
        WGMMA("f16");
    else
        WGMMA("bf16");
}

// A[row][k] is operand(row * K + k), B[col][k] is operand(M * K + col * K + k); every warpgroup reads the same tiles.
PROBE(probe) {
    __shared__ __align__(128) unsigned char tile_a[M * K * 2];
    __shared__ __align__(128) unsigned char tile_b[N * K * 2];
    for (u32 i = threadIdx.x; i < M * K / 2; i += blockDim.x) {
        u32 row = i / (K / 2), k = i % (K / 2) * 2u;
        *(u32*)(tile_a + core_offset(row, k, M)) = pack(operand(row * K + k, seed), operand(row * K + k + 1u, seed));
    }
    for (u32 i = threadIdx.x; i < N * K / 2; i += blockDim.x) {
        u32 col = i / (K / 2), k = i % (K / 2) * 2u, index = M * K + col * K + k;
        *(u32*)(tile_b + core_offset(col, k, N)) = pack(operand(index, seed), operand(index + 1u, seed));
    }
    asm volatile("fence.proxy.async;" ::: "memory");
    u64 a = descriptor(shared_address(tile_a), M), b = descriptor(shared_address(tile_b), N);
    float d[128];
#pragma unroll
    for (int i = 0; i < 128; ++i) d[i] = 0.0f;
    Span span = begin();
#pragma unroll 1
    for (u64 i = 0; i < iters; ++i) {
        asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#pragma unroll
        for (int j = 0; j < CHAIN; ++j)
            wgmma(d, a + (u64)(j % SLICES) * (M * 32 / 16), b + (u64)(j % SLICES) * (N * 32 / 16));
        asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
        asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
    }
    finish(span, records);
    float* results = (float*)out + (u64)thread_index() * 4u;
    float sum = 0.0f;
#pragma unroll
    for (int i = 0; i < 128; ++i) sum += d[i];
    results[0] = d[0];
    results[1] = d[1];
    results[2] = d[126];
    results[3] = sum;
}
