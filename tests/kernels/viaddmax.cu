// Native DPX (VIADDMNMX) on sm_90, an add and a maximum elsewhere: N dependent max(x + b, c).
extern "C" __global__ void kernel(int* out, long long* cycles, const int* in) {
    int x = in[threadIdx.x], b = in[threadIdx.x + 32], c = in[threadIdx.x + 64];
    long long begin = clock64();
#pragma unroll
    for (int i = 0; i < N; ++i) x = __viaddmax_s32(x, b, c);
    long long end = clock64();
    out[threadIdx.x] = x;
    cycles[0] = end - begin;
}
