// Good: N dependent integer adds in a loop whose own counter runs on the same pipe.
extern "C" __global__ void kernel(int* out, long long* cycles, const int* in, unsigned long long turns) {
    int x = in[0], a = in[1], b = in[2];
    long long begin = clock64();
#pragma unroll 1
    for (unsigned long long turn = 0; turn < turns; ++turn)
#pragma unroll
        for (int i = 0; i < N; ++i)
            asm volatile("{ .reg .s32 t; add.s32 t, %0, %1; add.s32 %0, t, %2; }" : "+r"(x) : "r"(a), "r"(b));
    long long end = clock64();
    out[threadIdx.x] = x;
    cycles[0] = end - begin;
}
