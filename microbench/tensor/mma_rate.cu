// WARPS warps an SM, each with ILP independent accumulator chains of one mma.sync or mma.sp.
#include "mma.cuh"

// MMAs of a warp in one pass, and the warps of the largest block; the emulation of sparse FP8 takes many registers
// (gpuprobe.families.mma_grid: chunk, most_warps).
constexpr bool LARGE = FP8 && SPARSITY == 2;
constexpr int CHUNK = LARGE ? 8 : 64, STEPS = CHUNK / ILP, MOST_WARPS = LARGE ? 8 : 16;

extern "C" __global__ void __launch_bounds__(32 * MOST_WARPS)
    probe(Record* __restrict__, u32* __restrict__, char*, u64, u64, u32);

PROBE(probe) {
    Operands o = operands(seed);
    u32 zero = (u32)(bytes >> 63);
    Value d[ILP][4];
#pragma unroll
    for (int c = 0; c < ILP; ++c) set(d[c], c);  // chains that start alike would be merged into one
    Span span = begin();
#pragma unroll 1
    for (u64 i = 0; i < iters; ++i) {
#pragma unroll
        for (int j = 0; j < STEPS; ++j)
#pragma unroll
            for (int c = 0; c < ILP; ++c) mma(d[c], o, j, zero);
    }
    finish(span, records);
    conclude(out, d, o, zero);
}
