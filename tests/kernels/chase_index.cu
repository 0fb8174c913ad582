// A chase by index: every load waits for the address arithmetic as well.
extern "C" __global__ void kernel(unsigned* out, long long* cycles, const unsigned* in) {
    unsigned x = in[0];
    long long begin = clock64();
#pragma unroll
    for (int i = 0; i < N; ++i) x = in[x];
    long long end = clock64();
    out[threadIdx.x] = x;
    cycles[0] = end - begin;
}
