// Bad: the second clock read is in the loop and the first is not: the timed region runs as often as nobody counts.
extern "C" __global__ void kernel(float* out, long long* cycles, float a, float b, int turns) {
    float x = a;
    long long begin = clock64(), end;
    int turn = 0;
#pragma unroll 1
    do {
#pragma unroll
        for (int i = 0; i < N; ++i) asm volatile("fma.rn.f32 %0, %0, %1, %2;" : "+f"(x) : "f"(a), "f"(b));
        end = clock64();
    } while (++turn < turns);
    out[threadIdx.x] = x;
    cycles[0] = end - begin;
}
