// A chain of atomics of one thread on one word (global: of the line `seed`), each with the value returned by the one before. A pass starts from ones:
// ADD then walks the Fibonacci numbers, so that the last value counts the steps.
#include "async.cuh"

#define GLOBAL 0
#define SHARED 1
#define ADD_U32 0
#define MIN_U32 1
#define EXCH_U32 2
#define CAS_U32 3
#define ADD_U64 4
#define CAS_U64 5
#define ADD_F32 6
#define ADD_F16X2 7

#if SPACE == GLOBAL
#define IN "global"
#define ADDRESS "l"(p)
#else
#define IN "shared"
#define ADDRESS "r"(p)
#endif

#if OP == ADD_U64 || OP == CAS_U64
typedef u64 Value;
#define STEP(text) asm volatile(text : "+l"(x) : ADDRESS, "l"(swap) : "memory")
#define RESET() asm volatile("st." IN ".b64 [%0], %1;" ::ADDRESS, "l"(x) : "memory")
#else
typedef u32 Value;
#define STEP(text) asm volatile(text : "+r"(x) : ADDRESS, "r"(swap) : "memory")
#define RESET() asm volatile("st." IN ".b32 [%0], %1;" ::ADDRESS, "r"(x) : "memory")
#endif

#if OP == ADD_F32
#define ONE 0x3f800000u
#elif OP == ADD_F16X2
#define ONE 0x00200010u  // two subnormals: a float16 holds their first 24 Fibonacci sums
#else
#define ONE 1u
#endif
#define SWAP 12345u

PROBE(probe) {
    __shared__ u64 word;
    u32 none = (u32)(iters >> 32);  // zero, unknown to the compiler
#if SPACE == GLOBAL
    char* p = data + (u64)(seed & (u32)(bytes / 128u - 1u)) * 128u;
#else
    u32 p = shared_address(&word);
#endif
    Value x = 0, swap = SWAP + none;
    u32 sum = 0;
    if (threadIdx.x != 0) return;
    Span span;
    span.ns = ns_now();
    span.clock = clock_now();
#pragma unroll 1
    for (u64 i = 0; i < iters; ++i) {
        x = (x & none) | (Value)ONE;  // waits for the pass before
        RESET();
        if (OP == MIN_U32 || OP == EXCH_U32) x += 4u;
#pragma unroll
        for (int j = 0; j < CHAIN; ++j) {
#if OP == ADD_U32
            STEP("atom." IN ".add.u32 %0, [%1], %0;");
#elif OP == MIN_U32
            STEP("atom." IN ".min.u32 %0, [%1], %0;");
#elif OP == EXCH_U32
            STEP("atom." IN ".exch.b32 %0, [%1], %0;");
#elif OP == CAS_U32
            STEP("atom." IN ".cas.b32 %0, [%1], %0, %2;");
#elif OP == ADD_U64
            STEP("atom." IN ".add.u64 %0, [%1], %0;");
#elif OP == CAS_U64
            STEP("atom." IN ".cas.b64 %0, [%1], %0, %2;");
#elif OP == ADD_F32
            STEP("{ .reg .f32 t; mov.b32 t, %0; atom." IN ".add.f32 t, [%1], t; mov.b32 %0, t; }");
#elif OP == ADD_F16X2
            STEP("atom." IN ".add.noftz.f16x2 %0, [%1], %0;");
#endif
        }
        sum += (u32)x;
    }
    store_shared(shared_address(&word), sum);  // waits for the last atomic
    u64 clock = clock_now();
    u64 ns = ns_now();
    Record record = {span.clock, clock, span.ns, ns, sm_id()};
    records[0] = record;
    out[0] = sum;
}
