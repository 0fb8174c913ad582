// CHAIN conditional bodies of 24 dependent multiply-adds each, taken by the lanes below `bytes`.
#include "probe.cuh"

#define FMA(x) "fma.rn.f32 " x ", " x ", %2, %2; "
#define FOUR(guard, x) guard FMA(x) guard FMA(x) guard FMA(x) guard FMA(x)
#define BODY(x) FOUR("", x) FOUR("", x) FOUR("", x) FOUR("", x) FOUR("", x) FOUR("", x)
#define GUARDED(x) FOUR("@p ", x) FOUR("@p ", x) FOUR("@p ", x) FOUR("@p ", x) FOUR("@p ", x) FOUR("@p ", x)

#define PLAIN BODY("%0")
#define PREDICATED "{.reg .pred p; setp.lt.u32 p, %3, %4;" GUARDED("%0") "}"
#define BRANCH "{.reg .pred p; setp.ge.u32 p, %3, %4; @p bra SKIP; " BODY("%0") "SKIP: }"
#define BOTH "{.reg .pred p; setp.ge.u32 p, %3, %4; @p bra OTHER; " BODY("%0") "bra.uni END; OTHER: " BODY("%1") "END: }"

PROBE(probe) {
    float x = 0.0f, y = 0.0f, one = (float)(iters != 0);
    u32 lane = threadIdx.x, limit = (u32)bytes;
    Span span = begin();
#pragma unroll 1
    for (u64 i = 0; i < iters; ++i) {
#pragma unroll
        for (int j = 0; j < CHAIN; ++j) {
            asm volatile(KIND : "+f"(x), "+f"(y) : "f"(one), "r"(lane), "r"(limit));
            asm volatile("" : "+r"(limit));  // a condition of its own for every body
        }
    }
    finish(span, records);
    out[2 * thread_index()] = (u32)x;
    out[2 * thread_index() + 1] = (u32)y;
}
