// Bad: the loop with N multiply-adds lies in another with N more, and only the inner ones are counted.
extern "C" __global__ void kernel(float* out, long long* cycles, float a, float b, int turns) {
    float x = a;
    long long begin = clock64();
#pragma unroll 1
    for (int outer = 0; outer < turns; ++outer) {
#pragma unroll 1
        for (int turn = 0; turn < turns; ++turn)
#pragma unroll
            for (int i = 0; i < N; ++i) asm volatile("fma.rn.f32 %0, %0, %1, %2;" : "+f"(x) : "f"(a), "f"(b));
#pragma unroll
        for (int i = 0; i < N; ++i) asm volatile("fma.rn.f32 %0, %0, %1, %2;" : "+f"(x) : "f"(a), "f"(b));
    }
    long long end = clock64();
    out[threadIdx.x] = x;
    cycles[0] = end - begin;
}
