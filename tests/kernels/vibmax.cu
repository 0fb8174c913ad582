// Bad: maximum with a predicate on operands that no turn changes: the compiler moves it out of the timed loop, or drops it.
extern "C" __global__ void kernel(int* out, long long* cycles, const int* in, int turns) {
    int a = in[threadIdx.x], b = in[threadIdx.x + 32], x = 0, count = 0;
    long long begin = clock64();
#pragma unroll 1
    for (int turn = 0; turn < turns; ++turn)
#pragma unroll
        for (int i = 0; i < N; ++i) {
            bool second;
            x = __vibmax_s32(a, b, &second);
            count += second;
        }
    long long end = clock64();
    out[threadIdx.x] = x + count;
    cycles[0] = end - begin;
}
