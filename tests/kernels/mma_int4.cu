// Native on sm_80 to sm_89, a called subroutine on sm_90: N dependent mma.sync m16n8k64 of s4.
extern "C" __global__ void kernel(int* out, long long* cycles, const unsigned* in) {
    unsigned a0 = in[0], a1 = in[1], a2 = in[2], a3 = in[3], b0 = in[4], b1 = in[5];
    int d0 = 0, d1 = 0, d2 = 0, d3 = 0;
    long long begin = clock64();
#pragma unroll
    for (int i = 0; i < N; ++i)
        asm volatile("mma.sync.aligned.m16n8k64.row.col.s32.s4.s4.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                     : "+r"(d0), "+r"(d1), "+r"(d2), "+r"(d3)
                     : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
    long long end = clock64();
    out[threadIdx.x] = d0 + d1 + d2 + d3;
    cycles[0] = end - begin;
}
