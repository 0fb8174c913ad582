// A kernel that does nothing: what is left is the cost of launching it. `stamp` writes the time into out.
#include "probe.cuh"

extern "C" __global__ void nothing() {}

// Holds the stream busy until the host has queued what follows: bytes is the time to wait in nanoseconds.
PROBE(hold) {
    u64 start = ns_now();
    while (ns_now() - start < bytes) {
    }
    *(u64*)(out) = ns_now();
}

PROBE(stamp) { *(u64*)(out + 2) = ns_now(); }

// Marks host memory (data) when the first block starts and when the last one is through; out counts blocks.
PROBE(mark) {
    if (threadIdx.x != 0) return;
    if (blockIdx.x == 0) *(volatile u64*)data = 1;
    if (atomicAdd(out, 1u) != gridDim.x - 1) return;
    *out = 0;
    __threadfence_system();
    *(volatile u64*)(data + 64) = 1;
}
