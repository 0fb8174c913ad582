// ldmatrix and stmatrix of X matrices of 8 x 8 16-bit elements, TRANS 1: transposed on the way. Lane i names row i % 8 of
// matrix i / 8; here the rows of a tile (X matrices, TILE bytes) lie one behind the other, 16 bytes each: no bank conflicts.
#pragma once
#include "probe.cuh"

#define TILE 512u
#if TRANS
#define FORM(x) "m8n8.x" #x ".trans.shared.b16 "
#else
#define FORM(x) "m8n8.x" #x ".shared.b16 "
#endif

__device__ __forceinline__ u32 shared_address(const void* p) {
    u32 address;
    asm("{ .reg .u64 t; cvta.to.shared.u64 t, %1; cvt.u32.u64 %0, t; }" : "=r"(address) : "l"(p));
    return address;
}

__device__ __forceinline__ void load(u32 (&d)[4], u32 address) {
    if (X == 1)
        asm volatile("ldmatrix.sync.aligned." FORM(1) "{%0}, [%1];" : "=r"(d[0]) : "r"(address) : "memory");
    else if (X == 2)
        asm volatile("ldmatrix.sync.aligned." FORM(2) "{%0,%1}, [%2];" : "=r"(d[0]), "=r"(d[1]) : "r"(address) : "memory");
    else
        asm volatile("ldmatrix.sync.aligned." FORM(4) "{%0,%1,%2,%3}, [%4];"
                     : "=r"(d[0]), "=r"(d[1]), "=r"(d[2]), "=r"(d[3])
                     : "r"(address)
                     : "memory");
}

#if __CUDA_ARCH__ >= 900
__device__ __forceinline__ void store(u32 address, const u32 (&d)[4]) {
    if (X == 1)
        asm volatile("stmatrix.sync.aligned." FORM(1) "[%0], {%1};" ::"r"(address), "r"(d[0]) : "memory");
    else if (X == 2)
        asm volatile("stmatrix.sync.aligned." FORM(2) "[%0], {%1,%2};" ::"r"(address), "r"(d[0]), "r"(d[1]) : "memory");
    else
        asm volatile("stmatrix.sync.aligned." FORM(4) "[%0], {%1,%2,%3,%4};" ::"r"(address), "r"(d[0]), "r"(d[1]), "r"(d[2]),
                     "r"(d[3])
                     : "memory");
}
#endif

// Word `index` of what is moved: any bits.
__device__ __forceinline__ u32 content(u32 index, u32 seed) { return mix(index * 0x9e3779b9u + seed); }

__device__ __forceinline__ void results(u32* out, const u32 (&d)[4]) {
    ((uint4*)out)[thread_index()] = make_uint4(d[0], X > 1 ? d[1] : 0u, X > 2 ? d[2] : 0u, X > 2 ? d[3] : 0u);
}
