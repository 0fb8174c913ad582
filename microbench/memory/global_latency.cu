// One thread chases pointers along a random lap of the footprint. All threads of the block first touch it, so that
// whatever fits a cache or a TLB is there; CACHE: CA is a plain load, through L1 (ld.ca would be a
// STRONG.SM load, a cycle longer on H100); CG goes to L2.
#include "chase.cuh"

#define CA "ld.global.u64 %0, [%0];"
#define CG "ld.global.cg.u64 %0, [%0];"

PROBE(probe) {
    u64 lines = bytes / LINE;
    // Whole sets that a cache could hold are touched line by line, larger ones once per 64 KiB: the TLBs only.
    u64 step = bytes <= (256ull << 20) ? LINE : 65536;
    u64 touched = 0;
    for (u64 offset = (u64)threadIdx.x * step; offset < bytes; offset += (u64)blockDim.x * step) {
        u64 value;
        asm volatile("ld.global.u64 %0, [%1];" : "=l"(value) : "l"(data + offset));
        touched ^= value;
    }
    out[64 + threadIdx.x] = (u32)touched;
    char* p = data + place(seed, lines, half_bits(lines)) * LINE;
    __syncthreads();
    if (threadIdx.x != 0) return;  // one lane: 32 lanes at one address take two cycles longer
    Span span;
    span.ns = ns_now();
    span.clock = clock_now();
#pragma unroll 1
    for (u64 i = 0; i < iters; ++i) {
#pragma unroll
        for (int j = 0; j < CHAIN; ++j) asm volatile(CACHE : "+l"(p));
    }
    arrive(p);
    u64 clock = clock_now();
    u64 ns = ns_now();
    if (threadIdx.x == 0) {
        Record record = {span.clock, clock, span.ns, ns, sm_id()};
        records[0] = record;
        *(u64*)out = (u64)(p - data);
    }
}
