// Half of the warps run one instruction, half another: which two share a pipe? Both numbers are in `bytes` (15: none).
#include "ops.cuh"

#define SPACE(op) namespace space_##op { DECLARE(op) }
SPACE(FFMA)
SPACE(FMUL)
SPACE(IMAD)
SPACE(IADD3)
SPACE(LOP3)
SPACE(HFMA2)
SPACE(DFMA)
SPACE(EX2)
SPACE(POPC)
SPACE(F2FP_F16)

// `every` passes of four chains for each of iters: so many that on Hopper each instruction takes about the same time.
#define CASE(number, op, every)                                                                                        \
    case number: {                                                                                                     \
        typedef space_##op::Word Word;                                                                                 \
        Word zero = (Word)(iters >> 40) * threadIdx.x, x[4], a = space_##op::A0 + zero, b = space_##op::B0 + zero;     \
        for (int c = 0; c < 4; ++c) x[c] = space_##op::X0 + zero * (Word)(c + 1);                                      \
        _Pragma("unroll 1") for (u32 end = (u32)iters * every; turns < end; ++turns) {                                 \
            _Pragma("unroll") for (int j = 0; j < 8; ++j)                                                              \
                _Pragma("unroll") for (int c = 0; c < 4; ++c) space_##op::link(x[c], a, b);                            \
            asm volatile("" : "+r"(turns));                                                                            \
        }                                                                                                              \
        low = (u32)x[0], high = (u32)((u64)x[0] >> 32);                                                                \
        for (int c = 0; c < 4; ++c) equal += x[c] == x[0];                                                             \
        break;                                                                                                         \
    }

PROBE(probe) {
    u32 op = (threadIdx.x >> 7 & 1) ? (u32)bytes >> 4 & 15u : (u32)bytes & 15u;
    u32 low = 0, high = 0, equal = 0, turns = 0;
    Span span = begin();
    switch (op) {
        CASE(0, FFMA, 8)
        CASE(1, FMUL, 8)
        CASE(2, IMAD, 4)
        CASE(3, IADD3, 4)
        CASE(4, LOP3, 4)
        CASE(5, HFMA2, 8)
        CASE(6, DFMA, 4)
        CASE(7, EX2, 1)
        CASE(8, POPC, 1)
        CASE(9, F2FP_F16, 4)
    }
    finish(span, records);
    ((uint4*)out)[thread_index() & 4095u] = make_uint4(low, high, equal, turns);
}
