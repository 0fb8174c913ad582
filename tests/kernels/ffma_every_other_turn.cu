// Bad: every other turn of the loop does nothing, so each multiply-add looks half as long.
extern "C" __global__ void kernel(float* out, long long* cycles, float a, float b, int turns) {
    float x = a;
    long long begin = clock64();
#pragma unroll 1
    for (int turn = 0; turn < turns; ++turn) {
        if (turn & 1) {
#pragma unroll
            for (int i = 0; i < N; ++i) asm volatile("fma.rn.f32 %0, %0, %1, %2;" : "+f"(x) : "f"(a), "f"(b));
        }
    }
    long long end = clock64();
    out[threadIdx.x] = x;
    cycles[0] = end - begin;
}
