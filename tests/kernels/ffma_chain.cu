// Good: N dependent FP32 multiply-adds, straight line, or the body of a loop where LOOP is defined.
extern "C" __global__ void kernel(float* out, long long* cycles, float a, float b, int turns) {
    float x = a;
    long long begin = clock64();
#ifdef LOOP
#pragma unroll 1
    for (int turn = 0; turn < turns; ++turn)
#endif
#pragma unroll
        for (int i = 0; i < N; ++i) asm volatile("fma.rn.f32 %0, %0, %1, %2;" : "+f"(x) : "f"(a), "f"(b));
    long long end = clock64();
    out[threadIdx.x] = x;
    cycles[0] = end - begin;
}
