// Bad: N multiply-adds for a latency, none of which waits for another.
extern "C" __global__ void kernel(float* out, long long* cycles, const float* in, float a) {
    float x[N];
    for (int i = 0; i < N; ++i) x[i] = in[i];
    long long begin = clock64();
#pragma unroll
    for (int i = 0; i < N; ++i) asm volatile("fma.rn.f32 %0, %0, %1, %1;" : "+f"(x[i]) : "f"(a));
    long long end = clock64();
    for (int i = 0; i < N; ++i) out[i * 32 + threadIdx.x] = x[i];
    cycles[0] = end - begin;
}
