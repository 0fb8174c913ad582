// Good: a chase of N loads, each the address of the next; through shared memory where SHARED is defined.
extern "C" __global__ void kernel(unsigned long long* out, long long* cycles, unsigned long long start) {
#ifdef SHARED
    __shared__ unsigned ring[64];
    unsigned p = (unsigned)start, base = (unsigned)__cvta_generic_to_shared(ring);
    ring[threadIdx.x] = base + (threadIdx.x * 4 + 4) % 128;
    __syncthreads();
#else
    unsigned long long p = start;
#endif
    long long begin = clock64();
#pragma unroll
    for (int i = 0; i < N; ++i)
#ifdef SHARED
        asm volatile("ld.shared.u32 %0, [%0];" : "+r"(p));
#else
        asm volatile("ld.global.ca.u64 %0, [%0];" : "+l"(p));
#endif
    long long end = clock64();
    out[threadIdx.x] = p;
    cycles[0] = end - begin;
}
