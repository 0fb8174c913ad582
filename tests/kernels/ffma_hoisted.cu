// Bad: nothing keeps the arithmetic between the clock reads, so the compiler moves it behind them.
extern "C" __global__ void kernel(float* out, long long* cycles, float a, float b) {
    float x = a;
    long long begin = clock64();
    long long end = clock64();
#pragma unroll
    for (int i = 0; i < N; ++i) x = fmaf(x, a, b);
    out[threadIdx.x] = x;
    cycles[0] = end - begin;
}
