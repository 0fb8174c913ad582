// Every SM holds a block that does nothing for `iters` nanoseconds: ASLEEP its warps sleep, AWAKE one warp of each
// scheduler reads the timer over and over.
#include "probe.cuh"

#define IDLE 0
#define ASLEEP 1
#define AWAKE 2

PROBE(probe) {
    Span span = begin();
    do {
        if (STATE == ASLEEP) asm volatile("nanosleep.u32 20000;");
    } while (ns_now() - span.ns < iters);
    finish(span, records);
    out[thread_index()] = 1u;
}
