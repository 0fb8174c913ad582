// What every probe shares: the record of one block, the clocks, and operands the compiler cannot foresee.
// Nothing is included: a CUDA C++ header costs up to a second a build.
#pragma once

typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

// One block's time stamps: SM cycles (clock64) around the timed region, nanoseconds (globaltimer) just outside it.
struct Record {
    u64 clock_begin, clock_end, ns_begin, ns_end, sm;
};

// Every kernel has this signature. `out` takes the results (u32 words), `data` is the working set of `bytes` bytes,
// `iters` the passes through the timed body, `seed` the operands' seed (0: all zero) or the place to start from.
#define PROBE(name) \
    extern "C" __global__ void name(Record* __restrict__ records, u32* __restrict__ out, char* data, u64 bytes, u64 iters, u32 seed)

__device__ __forceinline__ u64 clock_now() {
    u64 t;
    asm volatile("mov.u64 %0, %%clock64;" : "=l"(t)::"memory");
    return t;
}

__device__ __forceinline__ u64 ns_now() {
    u64 t;
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(t)::"memory");
    return t;
}

__device__ __forceinline__ u32 sm_id() {
    u32 id;
    asm volatile("mov.u32 %0, %%smid;" : "=r"(id));
    return id;
}

__device__ __forceinline__ u32 thread_index() { return blockIdx.x * blockDim.x + threadIdx.x; }

struct Span {
    u64 ns, clock;
};

__device__ __forceinline__ Span begin() {
    __syncthreads();
    Span span;
    span.ns = ns_now();
    span.clock = clock_now();
    return span;
}

__device__ __forceinline__ void finish(const Span& span, Record* records) {
    __syncthreads();
    u64 clock = clock_now();
    u64 ns = ns_now();
    if (threadIdx.x == 0) {
        Record record = {span.clock, clock, span.ns, ns, sm_id()};
        records[blockIdx.x] = record;
    }
}

// A 32-bit mix with full avalanche (lowbias32, C. Wellons); the host's twin is gpuprobe.operands.mix.
__device__ __forceinline__ u32 mix(u32 x) {
    x ^= x >> 16;
    x *= 0x7feb352du;
    x ^= x >> 15;
    x *= 0x846ca68bu;
    x ^= x >> 16;
    return x;
}

// About standard normal (sum of four bytes, exact in FP32) for element `index`; 0 for seed 0.
__device__ __forceinline__ float operand(u32 index, u32 seed) {
    if (seed == 0) return 0.0f;
    u32 bits = mix(index * 0x9e3779b9u + seed);
    int sum = (int)(bits & 255u) + (int)((bits >> 8) & 255u) + (int)((bits >> 16) & 255u) + (int)(bits >> 24) - 510;
    return (float)sum * (1.0f / 128.0f);
}

__device__ __forceinline__ u32 pack_f16(float low, float high) {
    u32 packed;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
    return packed;
}

__device__ __forceinline__ u32 pack_bf16(float low, float high) {
    u32 packed;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
    return packed;
}
