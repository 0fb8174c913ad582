// One thread chases pointers along a random lap of the footprint; a step copies the pointer into shared memory and reads
// it there. VIA: LOAD is a plain load (cg) for comparison, CP_ASYNC cp.async and its wait, BULK a bulk copy of TMA of 16
// bytes and the wait for its mbarrier.
#include "async.cuh"
#include "chase.cuh"

#define LOAD 0
#define CP_ASYNC 1
#define BULK 2

PROBE(probe) {
    __shared__ alignas(16) u64 landing[2];
    __shared__ u64 barrier;
    u64 lines = bytes / LINE, step = bytes <= (256ull << 20) ? LINE : 65536, touched = 0;
    for (u64 offset = (u64)threadIdx.x * step; offset < bytes; offset += (u64)blockDim.x * step) {
        u64 value;
        asm volatile("ld.global.cg.u64 %0, [%1];" : "=l"(value) : "l"(data + offset));
        touched ^= value;
    }
    out[64 + threadIdx.x] = (u32)touched;
    char* p = data + place(seed, lines, half_bits(lines)) * LINE;
    u32 to = shared_address(landing), bar = shared_address(&barrier), parity = 0;
    u64 deadline = ns_now() + PATIENCE_NS;
#if VIA == BULK
    if (threadIdx.x == 0) {
        barrier_init(bar, 1);
        fence_async();
    }
#endif
    __syncthreads();
    if (threadIdx.x != 0) return;
    Span span;
    span.ns = ns_now();
    span.clock = clock_now();
#pragma unroll 1
    for (u64 i = 0; i < iters; ++i) {
#pragma unroll
        for (int j = 0; j < CHAIN; ++j) {
#if VIA == LOAD
            asm volatile("ld.global.cg.u64 %0, [%0];" : "+l"(p));
#elif VIA == CP_ASYNC
            asm volatile("cp.async.cg.shared.global [%0], [%1], 16;\ncp.async.wait_all;" ::"r"(to), "l"(p) : "memory");
            asm volatile("ld.shared.u64 %0, [%1];" : "=l"(p) : "r"(to) : "memory");
#else
            barrier_expect(bar, 16);
            bulk_load(to, p, 16, bar);
            barrier_wait(bar, parity, deadline);
            parity ^= 1u;
            asm volatile("ld.shared.u64 %0, [%1];" : "=l"(p) : "r"(to) : "memory");
#endif
        }
    }
    arrive(p);
    u64 clock = clock_now();
    u64 ns = ns_now();
    Record record = {span.clock, clock, span.ns, ns, sm_id()};
    records[0] = record;
    *(u64*)out = (u64)(p - data);
}
