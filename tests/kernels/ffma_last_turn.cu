// Bad: the clock is read anew in every turn of the loop, so only the last turn is timed.
extern "C" __global__ void kernel(float* out, long long* cycles, float a, float b, int turns) {
    float x = a;
    long long begin;
    int turn = 0;
#pragma unroll 1
    do {
        begin = clock64();
#pragma unroll
        for (int i = 0; i < N; ++i) asm volatile("fma.rn.f32 %0, %0, %1, %2;" : "+f"(x) : "f"(a), "f"(b));
    } while (++turn < turns);
    long long end = clock64();
    out[threadIdx.x] = x;
    cycles[0] = end - begin;
}
