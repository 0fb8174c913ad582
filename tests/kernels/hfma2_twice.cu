// Bad: taken for N dependent HFMA2, each step is two of them.
extern "C" __global__ void kernel(unsigned* out, long long* cycles, unsigned a, unsigned b) {
    unsigned x = a;
    long long begin = clock64();
#pragma unroll
    for (int i = 0; i < N; ++i)
        asm volatile("{ .reg .b32 t; fma.rn.f16x2 t, %0, %1, %2; fma.rn.f16x2 %0, t, %2, %1; }" : "+r"(x) : "r"(a), "r"(b));
    long long end = clock64();
    out[threadIdx.x] = x;
    cycles[0] = end - begin;
}
