// All threads add to words of `out`, each always to the same one: thread i to word i modulo bytes / 4. So `bytes` says how
// many threads share a word, and a line. RED (REDG since
// sm_90) asks for no result, ATOM for the old value; the old values are added up in word SUM.
#include "probe.cuh"

#define RED_ADD_U32 0
#define REDG_ADD_U32 0
#define RED_ADD_F32 1
#define REDG_ADD_F32 1
#define RED_ADD_F16X2 2
#define REDG_ADD_F16X2 2
#define ATOM_ADD_U32 3
#define ATOM_CAS_U32 4
#define UNROLL 8
#define SUM (1u << 15)
#define ABSENT 0x600df00du

PROBE(probe) {
    u32* p = out + thread_index() % (u32)(bytes / 4);
    u32 sum = 0, one = OP == RED_ADD_F32 ? 0x3f800000u : OP == RED_ADD_F16X2 ? 0x3c003c00u : 1u;
    Span span = begin();
#pragma unroll 1
    for (u64 i = 0; i < iters; ++i) {
        u32 old[UNROLL];
#pragma unroll
        for (int j = 0; j < UNROLL; ++j) {
            old[j] = 0;
#if OP == RED_ADD_U32
            asm volatile("red.global.add.u32 [%0], %1;" ::"l"(p), "r"(one) : "memory");
#elif OP == RED_ADD_F32
            asm volatile("red.global.add.f32 [%0], %1;" ::"l"(p), "f"(__uint_as_float(one)) : "memory");
#elif OP == RED_ADD_F16X2
            asm volatile("red.global.add.noftz.f16x2 [%0], %1;" ::"l"(p), "r"(one) : "memory");
#elif OP == ATOM_ADD_U32
            asm volatile("atom.global.add.u32 %0, [%1], %2;" : "=r"(old[j]) : "l"(p), "r"(one) : "memory");
#elif OP == ATOM_CAS_U32
            asm volatile("atom.global.cas.b32 %0, [%1], %2, %3;" : "=r"(old[j]) : "l"(p), "r"(ABSENT), "r"(one) : "memory");
#endif
        }
#pragma unroll
        for (int j = 0; j < UNROLL; ++j) sum += old[j];
    }
    asm volatile("membar.gl;" ::: "memory");  // until every addition has been performed
    finish(span, records);
    asm volatile("redux.sync.add.u32 %0, %0, 0xffffffff;" : "+r"(sum));
    if (threadIdx.x % 32u == 0) asm volatile("red.global.add.u32 [%0], %1;" ::"l"(out + SUM), "r"(sum) : "memory");
}
