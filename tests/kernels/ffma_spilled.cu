// Bad: more live values than registers, so local memory is timed as well.
extern "C" __global__ void __launch_bounds__(1024) kernel(float* out, long long* cycles, const float* in, float a) {
    float x[N];
#pragma unroll
    for (int i = 0; i < N; ++i) x[i] = in[i * 1024 + threadIdx.x];
    long long begin = clock64();
#pragma unroll 1
    for (int turn = 0; turn < 4; ++turn)
#pragma unroll
        for (int i = 0; i < N; ++i) asm volatile("fma.rn.f32 %0, %0, %1, %2;" : "+f"(x[i]) : "f"(a), "f"(x[(i + 7) % N]));
    long long end = clock64();
#pragma unroll
    for (int i = 0; i < N; ++i) out[i * 1024 + threadIdx.x] = x[i];
    cycles[0] = end - begin;
}
