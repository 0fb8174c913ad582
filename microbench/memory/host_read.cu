// Groups of lanes read segments of SEGMENT bytes, 16 bytes a lane, scattered over the whole set (segment k x SPREAD modulo
// their number, a power of two): each once a pass. The set is longer than a power of two by the shift of all segments.
#include "probe.cuh"

#define UNROLL 4
#define LANES (SEGMENT / 16)
#define SPREAD 0x9e3779b1u

// Word i holds i.
PROBE(prepare) {
    for (u64 i = thread_index(); i < bytes / 4; i += (u64)gridDim.x * blockDim.x) ((u32*)data)[i] = (u32)i;
}

PROBE(probe) {
    u32 shift = (u32)bytes & 1023u, segments = (u32)((bytes - shift) / SEGMENT), lane = threadIdx.x % LANES, sum = 0;
    u32 groups = gridDim.x * blockDim.x / LANES;
    const char* base = data + shift + lane * 16u;
    Span span = begin();
#pragma unroll 1
    for (u64 i = 0; i < iters; ++i) {
#pragma unroll 1
        for (u32 k = thread_index() / LANES; k < segments; k += groups * UNROLL) {
            u32 w[UNROLL][4];
#pragma unroll
            for (int j = 0; j < UNROLL; ++j) {
                const char* p = base + (u64)((k + j * groups) * SPREAD & (segments - 1u)) * SEGMENT;
                asm volatile("ld.global.cg.v4.u32 {%0, %1, %2, %3}, [%4];"
                             : "=r"(w[j][0]), "=r"(w[j][1]), "=r"(w[j][2]), "=r"(w[j][3])
                             : "l"(p));
            }
#pragma unroll
            for (int j = 0; j < UNROLL; ++j) sum += w[j][0] + w[j][1] + w[j][2] + w[j][3];
        }
    }
    finish(span, records);
    out[thread_index()] = sum;
}
