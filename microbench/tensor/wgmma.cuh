// wgmma.mma_async of every operand type, N and operand source: register lists, instruction texts, operand layouts.
//
// TYPE: operands (of A and B where they differ) and, where it is not FP32 (S32 for S8), the accumulator. N: columns of D. FORM: A from shared memory
// (SS) or registers (RS). SPARSE: A holds 2 of 4 elements along k (TF32: 1 of 2), and k is twice as long.
#pragma once
#include "probe.cuh"

#define F16 0
#define F16_F16 1
#define BF16 2
#define TF32 3
#define E4M3 4
#define E4M3_F16 5
#define E5M2 6
#define S8 7
#define E4M3_E5M2 8
#define SS 0
#define RS 1

#ifndef N
#define N 256
#endif
#ifndef FORM
#define FORM SS
#endif
#ifndef SPARSE
#define SPARSE 0
#endif

#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)

// Names of the types, bytes of an element, k of a dense instruction, and what follows the operands.
#if TYPE == F16
#define KIND "f32.f16.f16"
#elif TYPE == F16_F16
#define KIND "f16.f16.f16"
#elif TYPE == BF16
#define KIND "f32.bf16.bf16"
#elif TYPE == TF32
#define KIND "f32.tf32.tf32"
#elif TYPE == E4M3
#define KIND "f32.e4m3.e4m3"
#elif TYPE == E4M3_F16
#define KIND "f16.e4m3.e4m3"
#elif TYPE == E5M2
#define KIND "f32.e5m2.e5m2"
#elif TYPE == E4M3_E5M2
#define KIND "f32.e4m3.e5m2"
#elif TYPE == S8
#define KIND "s32.s8.s8"
#endif

#if TYPE == TF32
#define ELEMENT 4
#elif TYPE == F16 || TYPE == F16_F16 || TYPE == BF16
#define ELEMENT 2
#else
#define ELEMENT 1
#endif

#if TYPE == S8
#define TAIL ";"
#elif ELEMENT != 2
#define TAIL ", 1, 1;"
#elif FORM == RS
#define TAIL ", 1, 1, 0;"
#else
#define TAIL ", 1, 1, 0, 0;"
#endif

#if SPARSE
#define MNEMONIC "wgmma.mma_async.sp.sync.aligned.m64n"
#define K_INSTRUCTION (64 / ELEMENT)
#define K_TEXT_1 "64"
#define K_TEXT_2 "32"
#define K_TEXT_4 "16"
#else
#define MNEMONIC "wgmma.mma_async.sync.aligned.m64n"
#define K_INSTRUCTION (32 / ELEMENT)
#define K_TEXT_1 "32"
#define K_TEXT_2 "16"
#define K_TEXT_4 "8"
#endif
#if ELEMENT == 1
#define K_TEXT K_TEXT_1
#elif ELEMENT == 2
#define K_TEXT K_TEXT_2
#else
#define K_TEXT K_TEXT_4
#endif

// Accumulator registers of a thread: FP32 or S32 one a register, f16 two.
#define HALVES (TYPE == F16_F16 || TYPE == E4M3_F16)
#if HALVES
#define REGISTERS (N / 4)
#define ACCUMULATOR u32
#define IN_OUT "+r"
#elif TYPE == S8
#define REGISTERS (N / 2)
#define ACCUMULATOR u32
#define IN_OUT "+r"
#else
#define REGISTERS (N / 2)
#define ACCUMULATOR float
#define IN_OUT "+f"
#endif

#define D2(i) IN_OUT(d[i]), IN_OUT(d[i + 1])
#define D4(i) D2(i), D2(i + 2)
#define D8(i) D4(i), D4(i + 4)
#define D16(i) D8(i), D8(i + 8)
#define D32(i) D16(i), D16(i + 16)
#define D64(i) D32(i), D32(i + 32)

#define NAMES2 "%0, %1"
#define NAMES4 NAMES2 ", %2, %3"
#define NAMES8 NAMES4 ", %4, %5, %6, %7"
#define NAMES16 NAMES8 ", %8, %9, %10, %11, %12, %13, %14, %15"
#define NAMES32 \
    NAMES16 ", %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define NAMES64 \
    NAMES32 \
        ", %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47" \
        ", %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define NAMES128 \
    NAMES64 \
        ", %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79" \
        ", %80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95" \
        ", %96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111" \
        ", %112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127"

// The instruction by the number of its accumulators; inputs are numbered on from there.
#if N / (HALVES ? 4 : 2) == 2
#define ALL D2(0)
#define WGMMA(scale) TEXT_OF(NAMES2, "%2", "%3", "%4", "%5", "%6", "%7", scale)
#elif N / (HALVES ? 4 : 2) == 4
#define ALL D4(0)
#define WGMMA(scale) TEXT_OF(NAMES4, "%4", "%5", "%6", "%7", "%8", "%9", scale)
#elif N / (HALVES ? 4 : 2) == 8
#define ALL D8(0)
#define WGMMA(scale) TEXT_OF(NAMES8, "%8", "%9", "%10", "%11", "%12", "%13", scale)
#elif N / (HALVES ? 4 : 2) == 16
#define ALL D16(0)
#define WGMMA(scale) TEXT_OF(NAMES16, "%16", "%17", "%18", "%19", "%20", "%21", scale)
#elif N / (HALVES ? 4 : 2) == 32
#define ALL D32(0)
#define WGMMA(scale) TEXT_OF(NAMES32, "%32", "%33", "%34", "%35", "%36", "%37", scale)
#elif N / (HALVES ? 4 : 2) == 64
#define ALL D64(0)
#define WGMMA(scale) TEXT_OF(NAMES64, "%64", "%65", "%66", "%67", "%68", "%69", scale)
#elif N / (HALVES ? 4 : 2) == 128
#define ALL D64(0), D64(64)
#define WGMMA(scale) TEXT_OF(NAMES128, "%128", "%129", "%130", "%131", "%132", "%133", scale)
#endif

#define HEAD(names) MNEMONIC TEXT(N) "k" K_TEXT "." KIND " {" names "}, "
#if FORM == RS && SPARSE
#define TEXT_OF(names, i0, i1, i2, i3, i4, i5, scale) HEAD(names) "{" i0 ", " i1 ", " i2 ", " i3 "}, " i4 ", " i5 ", 0, " scale TAIL
#elif FORM == RS
#define TEXT_OF(names, i0, i1, i2, i3, i4, i5, scale) HEAD(names) "{" i0 ", " i1 ", " i2 ", " i3 "}, " i4 ", " scale TAIL
#elif SPARSE
#define TEXT_OF(names, i0, i1, i2, i3, i4, i5, scale) HEAD(names) i0 ", " i1 ", " i2 ", 0, " scale TAIL
#else
#define TEXT_OF(names, i0, i1, i2, i3, i4, i5, scale) HEAD(names) i0 ", " i1 ", " scale TAIL
#endif

// Which elements of A are stored: the second and the fourth of four, of TF32 the second of two.
#if TYPE == TF32
#define METADATA 0xEEEEEEEEu
#else
#define METADATA 0xDDDDDDDDu
#endif

struct Left {
#if FORM == RS
    u32 r[4];
#else
    u64 descriptor;
#endif
};

// D = A x B + D (D = A x B where `fresh`); everything about it is fixed when it is compiled.
template <bool fresh>
__device__ __forceinline__ void wgmma(ACCUMULATOR (&d)[REGISTERS], const Left& a, u64 b) {
#if FORM == RS && SPARSE
#define INPUTS "r"(a.r[0]), "r"(a.r[1]), "r"(a.r[2]), "r"(a.r[3]), "l"(b), "r"(METADATA)
#elif FORM == RS
#define INPUTS "r"(a.r[0]), "r"(a.r[1]), "r"(a.r[2]), "r"(a.r[3]), "l"(b)
#elif SPARSE
#define INPUTS "l"(a.descriptor), "l"(b), "r"(METADATA)
#else
#define INPUTS "l"(a.descriptor), "l"(b)
#endif
    if (fresh)
        asm volatile(WGMMA("0") : ALL : INPUTS);
    else
        asm volatile(WGMMA("1") : ALL : INPUTS);
}

// Core matrices of 8 rows x 16 bytes, no swizzle: one beside the next along the rows, then along k.
__device__ __forceinline__ u32 core_offset(u32 row, u32 k_byte, u32 rows) {
    return (k_byte / 16u) * (rows * 16u) + (row / 8u) * 128u + (row % 8u) * 16u + k_byte % 16u;
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

__device__ __forceinline__ void wgmma_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ __forceinline__ void wgmma_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
__device__ __forceinline__ void wgmma_wait() { asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory"); }
__device__ __forceinline__ void async_proxy_fence() { asm volatile("fence.proxy.async;" ::: "memory"); }
