// Bad: the chain's result is never used, so there is no chain.
extern "C" __global__ void kernel(float* out, long long* cycles, float a, float b) {
    float x = a;
    long long begin = clock64();
#pragma unroll
    for (int i = 0; i < N; ++i) x = fmaf(x, a, b);
    long long end = clock64();
    out[threadIdx.x] = a;
    cycles[0] = end - begin;
}
