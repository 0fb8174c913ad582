// All threads of a block add to words of shared memory, thread i always to word i modulo `bytes` / 4, without asking for the
// old value; CAS never matches. The words go to `out` in the end.
#include "async.cuh"

#define ADD_U32 0
#define ADD_F32 1
#define CAS_U32 2
#define UNROLL 8
#define WORDS 1024u
#define ABSENT 0x600df00du

PROBE(probe) {
    __shared__ u32 store[WORDS];
    u32 words = (u32)(bytes / 4), p = shared_address(store + threadIdx.x % words), seen = 0;
    if (threadIdx.x < words) store[threadIdx.x] = 0;
    Span span = begin();
#pragma unroll 1
    for (u64 i = 0; i < iters; ++i) {
#pragma unroll
        for (int j = 0; j < UNROLL; ++j) {
#if OP == ADD_U32
            asm volatile("red.shared.add.u32 [%0], 3;" ::"r"(p) : "memory");  // of 1 the compiler makes a count of lanes
#elif OP == ADD_F32
            asm volatile("red.shared.add.f32 [%0], 0f3f800000;" ::"r"(p) : "memory");
#else
            u32 old;
            asm volatile("atom.shared.cas.b32 %0, [%1], %2, 1;" : "=r"(old) : "r"(p), "r"(ABSENT) : "memory");
            seen |= old;
#endif
        }
    }
    finish(span, records);
    if (threadIdx.x < words) out[blockIdx.x * WORDS + threadIdx.x] = store[threadIdx.x] + seen;
}
