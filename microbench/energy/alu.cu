// Chains of one arithmetic instruction in one or many warps, on operands whose bits change (or are all zero): what it
// costs in energy. FFMA and DFMA fall into a cycle of two values (x a + b, x a + c), IMAD is a congruential generator,
// MUFU goes from x to 2^x and back. Nothing is known to the compiler.
#include "probe.cuh"

#define FFMA 0
#define DFMA 1
#define IMAD 2
#define MUFU 3
#define STEPS 64
#define CHAINS 4

// A random number of either sign with a full mantissa, magnitude in [0.5, 1); 0 for seed 0.
__device__ __forceinline__ float fraction(u32 index, u32 seed) {
    if (seed == 0) return 0.0f;
    u32 bits = mix(index * 0x9e3779b9u + seed);
    return __uint_as_float(0x3f000000u | (bits & 0x807fffffu));
}

// The same in [0.5, 0.75), so that a chain x a + b settles soon.
__device__ __forceinline__ float factor(u32 index, u32 seed) {
    return __uint_as_float(__float_as_uint(fraction(index, seed)) & 0xffbfffffu);
}

#if OP == FFMA
typedef float Number;
#define STEP(x, y) asm volatile("fma.rn.f32 %0, %0, %1, %2;" : "+f"(x) : "f"(a), "f"(y))
#elif OP == DFMA
typedef double Number;
#define STEP(x, y) asm volatile("fma.rn.f64 %0, %0, %1, %2;" : "+d"(x) : "d"(a), "d"(y))
#elif OP == IMAD
typedef u32 Number;
#define STEP(x, y) asm volatile("mad.lo.u32 %0, %0, %1, %2;" : "+r"(x) : "r"(a), "r"(y))
#else
typedef float Number;
#endif

// Each thread has CHAINS chains, so that one warp fills its scheduler; a and the second addend are the same for all.
PROBE(probe) {
    u32 at = thread_index() * 16u;
    Number x[CHAINS], b[CHAINS];
#if OP == IMAD
    Number a = seed ? mix(at + 1u + seed) | 1u : 0u, c = seed ? mix(at + 2u + seed) : 0u;
#else
    Number a = factor(at + 1u, seed), c = fraction(at + 2u, seed);
#endif
#if OP == DFMA
    a *= 1.0 + c * 0x1p-26;  // so that the low half of the mantissa is not zero
#endif
#pragma unroll
    for (u32 j = 0; j < CHAINS; ++j) {
#if OP == IMAD
        x[j] = seed ? mix(at + 4u + j + seed) : 0u;
        b[j] = c;
#elif OP == MUFU
        x[j] = seed ? __uint_as_float(0x3f000000u | (mix(at + 4u + j + seed) & 0x007fffffu)) : 0.0f;
#else
        x[j] = 0;
        b[j] = fraction(at + 4u + j, seed);
#endif
    }
    Span span = begin();
#pragma unroll 1
    for (u64 i = 0; i < iters; ++i) {
#pragma unroll
        for (int k = 0; k < STEPS / CHAINS / 2; ++k) {
#if OP == MUFU
#pragma unroll
            for (int j = 0; j < CHAINS; ++j) asm volatile("ex2.approx.ftz.f32 %0, %0;" : "+f"(x[j]));
#pragma unroll
            for (int j = 0; j < CHAINS; ++j) asm volatile("lg2.approx.ftz.f32 %0, %0;" : "+f"(x[j]));
#else
#pragma unroll
            for (int j = 0; j < CHAINS; ++j) STEP(x[j], b[j]);
#pragma unroll
            for (int j = 0; j < CHAINS; ++j) STEP(x[j], c);
#endif
        }
    }
    finish(span, records);
    Number sum = 0;
#pragma unroll
    for (int j = 0; j < CHAINS; ++j) sum += x[j];
#if OP == IMAD
    out[thread_index()] = sum;
#else
    out[thread_index()] = __float_as_uint((float)sum);
#endif
}

// Holds every SM busy with FFMA for `iters` nanoseconds: a step of load for the power sensor.
PROBE(burn) {
    u64 start = ns_now();
    u32 at = thread_index() * 4u;
    float x = 0.0f, a = factor(at + 1u, seed), b = fraction(at + 2u, seed), c = fraction(at + 3u, seed);
    do {
#pragma unroll
        for (int j = 0; j < 128; ++j) {
            asm volatile("fma.rn.f32 %0, %0, %1, %2;" : "+f"(x) : "f"(a), "f"(b));
            asm volatile("fma.rn.f32 %0, %0, %1, %2;" : "+f"(x) : "f"(a), "f"(c));
        }
    } while (ns_now() - start < iters);
    out[thread_index()] = __float_as_uint(x);
}
