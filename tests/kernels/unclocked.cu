// Bad: no second clock read.
extern "C" __global__ void kernel(float* out, long long* cycles, float a) {
    cycles[0] = clock64();
    out[threadIdx.x] = fmaf(a, a, a);
}
