// Bad: N identical products of the same operands, as in an unrolled throughput loop: the compiler keeps one of them.
extern "C" __global__ void kernel(float* out, long long* cycles, const unsigned* in) {
    unsigned a0 = in[0], a1 = in[1], a2 = in[2], a3 = in[3], b0 = in[4], b1 = in[5];
    float total = 0.0f;
    long long begin = clock64();
#pragma unroll
    for (int i = 0; i < N; ++i) {
        float d0, d1, d2, d3;
        asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%10,%10,%10,%10};"
            : "=f"(d0), "=f"(d1), "=f"(d2), "=f"(d3)
            : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1), "f"(0.0f));
        total = d0 + d1 + d2 + d3;
    }
    long long end = clock64();
    out[threadIdx.x] = total;
    cycles[0] = end - begin;
}
