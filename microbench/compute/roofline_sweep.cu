// Every element of a large array goes through FMAS multiply-adds and into a sum: FLOP/s and bytes/s by intensity.
#include "probe.cuh"

__device__ __forceinline__ float element(u32 index) { return (float)(mix(index) & 7u); }

PROBE(prepare) {
    u64 count = bytes / 4;
    for (u64 i = thread_index(); i < count; i += (u64)gridDim.x * blockDim.x) ((float*)data)[i] = element((u32)i);
}

__device__ __forceinline__ float worked(float v, float one) {
#pragma unroll
    for (int j = 0; j < FMAS; ++j) asm volatile("fma.rn.f32 %0, %0, %1, %1;" : "+f"(v) : "f"(one));
    return v;
}

PROBE(probe) {
    float one = (float)(iters != 0);
    u32 threads = gridDim.x * blockDim.x, sum = 0;
    u32 turns = (u32)(bytes / 32 / threads);
    Span span = begin();
#pragma unroll 1
    for (u64 pass = 0; pass < iters; ++pass) {
        const float4* from = (const float4*)data + thread_index();
        float4 part = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
#pragma unroll 1
        for (u32 turn = 0; turn < turns; ++turn, from += 2 * threads) {
            float4 v, w;
            asm volatile("ld.global.cg.v4.f32 {%0, %1, %2, %3}, [%4];" : "=f"(v.x), "=f"(v.y), "=f"(v.z), "=f"(v.w) : "l"(from));
            asm volatile("ld.global.cg.v4.f32 {%0, %1, %2, %3}, [%4];" : "=f"(w.x), "=f"(w.y), "=f"(w.z), "=f"(w.w) : "l"(from + threads));
            part.x += worked(v.x, one);
            part.y += worked(v.y, one);
            part.z += worked(v.z, one);
            part.w += worked(v.w, one);
            part.x += worked(w.x, one);
            part.y += worked(w.y, one);
            part.z += worked(w.z, one);
            part.w += worked(w.w, one);
        }
        sum += (u32)part.x + (u32)part.y + (u32)part.z + (u32)part.w;
    }
    finish(span, records);
    out[thread_index()] = sum;
}
