// Every mma.sync and mma.sp of this project, one line an instruction, and operands whose sums the host knows exactly.
//
// All operands follow one pattern (PTX ISA, "Matrix Fragments for mma"): with g = lane / 4 and t = lane % 4, register i of
// A holds row g (odd i of the 16-row shapes: g + 8) and unit t + 4 * (i / 2) of it along k, register i of B unit t + 4 * i
// of column g. A unit is a 32-bit word of 1 to 32 elements, or one FP64 number. mma.sp stores half of A, in the same way.
#pragma once
#include "probe.cuh"

enum Kind { f16, bf16, tf32, f64, s8, s4, b1, e4m3, e5m2, f32, s32 };

// rows, k, type of A, of B, of C and D, the operation of b1, sparsity (2: half of A is stored)
#define F16 16, 16, f16, f16, f32, "", 1
#define BF16 16, 16, bf16, bf16, f32, "", 1
#define F16_F32_M16N8K8 16, 8, f16, f16, f32, "", 1
#define F16_F16_M16N8K8 16, 8, f16, f16, f16, "", 1
#define F16_F16_M16N8K16 16, 16, f16, f16, f16, "", 1
#define BF16_F32_M16N8K8 16, 8, bf16, bf16, f32, "", 1
#define TF32_F32_M16N8K4 16, 4, tf32, tf32, f32, "", 1
#define TF32_F32_M16N8K8 16, 8, tf32, tf32, f32, "", 1
#define F64_M8N8K4 8, 4, f64, f64, f64, "", 1
#define F64_M16N8K4 16, 4, f64, f64, f64, "", 1
#define F64_M16N8K8 16, 8, f64, f64, f64, "", 1
#define F64_M16N8K16 16, 16, f64, f64, f64, "", 1
#define S8_M8N8K16 8, 16, s8, s8, s32, "", 1
#define S8_M16N8K16 16, 16, s8, s8, s32, "", 1
#define S8_M16N8K32 16, 32, s8, s8, s32, "", 1
#define S4_M8N8K32 8, 32, s4, s4, s32, "", 1
#define S4_M16N8K32 16, 32, s4, s4, s32, "", 1
#define S4_M16N8K64 16, 64, s4, s4, s32, "", 1
#define B1_AND_M8N8K128 8, 128, b1, b1, s32, ".and.popc", 1
#define B1_AND_M16N8K128 16, 128, b1, b1, s32, ".and.popc", 1
#define B1_AND_M16N8K256 16, 256, b1, b1, s32, ".and.popc", 1
#define B1_XOR_M8N8K128 8, 128, b1, b1, s32, ".xor.popc", 1
#define B1_XOR_M16N8K128 16, 128, b1, b1, s32, ".xor.popc", 1
#define B1_XOR_M16N8K256 16, 256, b1, b1, s32, ".xor.popc", 1
#define E4M3_F32_M16N8K16 16, 16, e4m3, e4m3, f32, "", 1
#define E5M2_F32_M16N8K16 16, 16, e5m2, e5m2, f32, "", 1
#define E4M3_F32_M16N8K32 16, 32, e4m3, e4m3, f32, "", 1
#define E4M3_F16_M16N8K32 16, 32, e4m3, e4m3, f16, "", 1
#define E5M2_F32_M16N8K32 16, 32, e5m2, e5m2, f32, "", 1
#define E4M3_E5M2_F32_M16N8K32 16, 32, e4m3, e5m2, f32, "", 1
#define E5M2_E4M3_F32_M16N8K32 16, 32, e5m2, e4m3, f32, "", 1
#define SP_F16_F32_M16N8K16 16, 16, f16, f16, f32, "", 2
#define SP_F16_F32_M16N8K32 16, 32, f16, f16, f32, "", 2
#define SP_F16_F16_M16N8K16 16, 16, f16, f16, f16, "", 2
#define SP_F16_F16_M16N8K32 16, 32, f16, f16, f16, "", 2
#define SP_BF16_F32_M16N8K16 16, 16, bf16, bf16, f32, "", 2
#define SP_BF16_F32_M16N8K32 16, 32, bf16, bf16, f32, "", 2
#define SP_TF32_F32_M16N8K8 16, 8, tf32, tf32, f32, "", 2
#define SP_TF32_F32_M16N8K16 16, 16, tf32, tf32, f32, "", 2
#define SP_S8_M16N8K32 16, 32, s8, s8, s32, "", 2
#define SP_S8_M16N8K64 16, 64, s8, s8, s32, "", 2
#define SP_S4_M16N8K64 16, 64, s4, s4, s32, "", 2
#define SP_S4_M16N8K128 16, 128, s4, s4, s32, "", 2
#define SP_E4M3_F32_M16N8K64 16, 64, e4m3, e4m3, f32, "", 2
#define SP_E5M2_F32_M16N8K64 16, 64, e5m2, e5m2, f32, "", 2
#define SP_E4M3_E5M2_F32_M16N8K64 16, 64, e4m3, e5m2, f32, "", 2
#define SP_E5M2_E4M3_F32_M16N8K64 16, 64, e5m2, e4m3, f32, "", 2

#ifdef TYPE
#define MMA TYPE
#endif
#define SELECT(column, ...) column(__VA_ARGS__)
#define ROWS_OF(m, k, a, b, c, op, sp) m
#define K_OF(m, k, a, b, c, op, sp) k
#define A_OF(m, k, a, b, c, op, sp) a
#define B_OF(m, k, a, b, c, op, sp) b
#define C_OF(m, k, a, b, c, op, sp) c
#define SPARSITY_OF(m, k, a, b, c, op, sp) sp
#define SHAPE_OF(m, k, a, b, c, op, sp) ".sync.aligned.m" #m "n8k" #k ".row.col." #c "." #a "." #b "." #c op " "
#define SHAPE SELECT(SHAPE_OF, MMA)

constexpr int ROWS = SELECT(ROWS_OF, MMA), K = SELECT(K_OF, MMA), SPARSITY = SELECT(SPARSITY_OF, MMA);
constexpr Kind A = SELECT(A_OF, MMA), B = SELECT(B_OF, MMA), C = SELECT(C_OF, MMA);

__device__ constexpr int unit_elements(Kind kind) {
    return kind == tf32 || kind == f64 ? 1 : kind == f16 || kind == bf16 ? 2 : kind == s4 ? 8 : kind == b1 ? 32 : 4;
}

constexpr int A_UNITS = K / SPARSITY / unit_elements(A), B_UNITS = K / unit_elements(B);  // of a row, of a column
constexpr int HALVES = ROWS / 8, NA = A_UNITS / 4 * HALVES, NB = B_UNITS / 4, NC = (C == f16 ? 1 : 2) * HALVES;
constexpr bool FP8 = A == e4m3 || A == e5m2;
// FP16 accumulators and FP8 get numbers so coarse that no sum is rounded: 0.5, 0.75, 1 and 1.5 of either sign.
constexpr bool COARSE = C == f16 || FP8;

template <bool condition, typename T, typename F>
struct Choose {
    typedef T type;
};
template <typename T, typename F>
struct Choose<false, T, F> {
    typedef F type;
};
typedef Choose<A == f64, double, u32>::type Unit;
typedef Choose<C == f64, double, Choose<C == f32, float, u32>::type>::type Value;

struct Operands {
    Unit a[8], b[2][4];  // two fragments of B, taken in turns
    u32 metadata;
};

// Random bits made into elements of a coarse type: sign, one bit of exponent, one of mantissa.
__device__ __forceinline__ u32 coarse(Kind kind, u32 bits) {
    return kind == e4m3   ? (bits & 0x8c8c8c8cu) | 0x30303030u
           : kind == e5m2 ? (bits & 0x86868686u) | 0x38383838u
                          : (bits & 0x86008600u) | 0x38003800u;
}

// Unit `unit` of a row of A or a column of B, its elements numbered from first; 0 for seed 0.
__device__ __forceinline__ u32 word(Kind kind, u32 unit, u32 first, u32 stride, u32 seed) {
    if (seed == 0) return 0;
    if (kind == s8 || kind == s4 || kind == b1) return mix(unit * 0x9e3779b9u + seed);
    if (COARSE) return coarse(kind, mix(unit * 0x9e3779b9u + seed));
    if (kind == tf32) return __float_as_uint(operand(first, seed));
    float low = operand(first, seed), high = operand(first + stride, seed);
    return kind == f16 ? pack_f16(low, high) : pack_bf16(low, high);
}

__device__ __forceinline__ void fill(u32& unit, Kind kind, u32 number, u32 first, u32 stride, u32 seed) {
    unit = word(kind, number, first, stride, seed);
}

__device__ __forceinline__ void fill(double& unit, Kind, u32, u32 first, u32, u32 seed) {
    unit = (double)operand(first, seed);
}

// The second fragment of B: for integers another one, else the first with its sign changed, so that sums stay bounded.
__device__ __forceinline__ void partner(u32& unit, u32 first, u32 number, u32 seed) {
    if (seed == 0)
        unit = 0;
    else if (B == s8 || B == s4 || B == b1)
        unit = mix(number * 0x9e3779b9u + seed + 0x51ed270bu);
    else
        unit = first ^ (B == tf32 ? 0x80000000u : FP8 ? 0x80808080u : 0x80008000u);
}

__device__ __forceinline__ void partner(double& unit, double first, u32, u32) { unit = -first; }

// The two places of one chunk that are not zero, as mma.sp wants them: 2 bits each, the lower place first.
__device__ __forceinline__ u32 chunk_places(u32 row, u32 chunk, u32 seed) {
    u32 bits = mix((row * 64u + chunk) * 0x9e3779b9u + seed + 0x2545f491u);
    return A == tf32 ? (bits & 1u ? 0xEu : 0x4u) : (0xEDC984u >> (bits % 6u * 4u)) & 0xFu;
}

// Chunks of a row: 4 (one lane of four holds those of rows g and g + 8), 8 (two lanes) or 16 (all four).
constexpr int CHUNKS = K / (A == s4 ? 8 : A == tf32 ? 2 : 4);
constexpr bool BYTES = A == s8 || A == s4 || FP8;

__device__ __forceinline__ u32 metadata_of(u32 seed) {
    u32 lane = threadIdx.x & 31u, g = lane >> 2, t = lane & 3u, metadata = 0;
#pragma unroll
    for (u32 i = 0; i < 8; ++i) {
        u32 row = BYTES ? g + (t & 1u) * 8u : g + (i >> 2) * 8u;
        u32 chunk = BYTES ? (t >> 1) * 8u + i : t * 4u + (i & 3u);
        metadata |= chunk_places(row, chunk % CHUNKS, seed) << (4u * i);
    }
    return metadata;
}

// A[row][k] is element row * K + k (of what is stored), B[k][column] element 16 * K + k * 8 + column; every warp's alike.
__device__ __forceinline__ Operands operands(u32 seed) {
    u32 lane = threadIdx.x & 31u, g = lane >> 2, t = lane & 3u;
    constexpr u32 STORED = K / SPARSITY;
    Operands o;
#pragma unroll
    for (u32 i = 0; i < NA; ++i) {
        u32 row = g + i % HALVES * 8u, unit = t + i / HALVES * 4u;
        fill(o.a[i], A, row * A_UNITS + unit, row * STORED + unit * unit_elements(A), 1, seed);
    }
#pragma unroll
    for (u32 i = 0; i < NB; ++i) {
        u32 unit = t + i * 4u, number = 16u * A_UNITS + unit * 8u + g;
        fill(o.b[0][i], B, number, 16u * STORED + unit * unit_elements(B) * 8u + g, 8, seed);
        partner(o.b[1][i], o.b[0][i], number, seed);
    }
    if (SPARSITY == 2) o.metadata = metadata_of(seed);
    return o;
}

#define D2 "{%0,%1}"
#define D4 "{%0,%1,%2,%3}"
#define IO2(c) "+" c(d[0]), "+" c(d[1])
#define IO4(c) IO2(c), "+" c(d[2]), "+" c(d[3])
#define IN1(r, x) r(x[0])
#define IN2(r, x) IN1(r, x), r(x[1])
#define IN4(r, x) IN2(r, x), r(x[2]), r(x[3])
#define IN8(r, x) IN4(r, x), r(x[4]), r(x[5]), r(x[6]), r(x[7])
#define DENSE(d_list, a_list, b_list, io, ...) \
    asm volatile("mma" SHAPE d_list ", " a_list ", " b_list ", " d_list ";" : io : __VA_ARGS__)
#define SPARSE(d_list, a_list, b_list, e, io, ...) \
    asm volatile("mma.sp::ordered_metadata" SHAPE d_list ", " a_list ", " b_list ", " d_list ", " e ", 0x0;" \
                 : io : __VA_ARGS__, "r"(metadata))
#define FOUR(c) \
    if (SPARSITY == 2 && NA == 2) \
        SPARSE(D4, "{%4,%5}", "{%6,%7}", "%8", IO4(c), IN2("r", a), IN2("r", b)); \
    else if (SPARSITY == 2) \
        SPARSE(D4, "{%4,%5,%6,%7}", "{%8,%9,%10,%11}", "%12", IO4(c), IN4("r", a), IN4("r", b)); \
    else if (NA == 2) \
        DENSE(D4, "{%4,%5}", "{%6}", IO4(c), IN2("r", a), IN1("r", b)); \
    else \
        DENSE(D4, "{%4,%5,%6,%7}", "{%8,%9}", IO4(c), IN4("r", a), IN2("r", b));

__device__ __forceinline__ void issue(float (&d)[4], const u32 (&a)[8], const u32 (&b)[4], u32 metadata) { FOUR("f") }

__device__ __forceinline__ void issue(u32 (&d)[4], const u32 (&a)[8], const u32 (&b)[4], u32 metadata) {
    if (NC == 4) {
        FOUR("r")
    } else if (NA == 1) {
        DENSE(D2, "{%2}", "{%3}", IO2("r"), IN1("r", a), IN1("r", b));
    } else if (SPARSITY == 2 && NA == 2) {
        SPARSE(D2, "{%2,%3}", "{%4,%5}", "%6", IO2("r"), IN2("r", a), IN2("r", b));
    } else if (SPARSITY == 2) {
        SPARSE(D2, "{%2,%3,%4,%5}", "{%6,%7,%8,%9}", "%10", IO2("r"), IN4("r", a), IN4("r", b));
    } else if (NA == 2) {
        DENSE(D2, "{%2,%3}", "{%4}", IO2("r"), IN2("r", a), IN1("r", b));
    } else {
        DENSE(D2, "{%2,%3,%4,%5}", "{%6,%7}", IO2("r"), IN4("r", a), IN2("r", b));
    }
}

__device__ __forceinline__ void issue(double (&d)[4], const double (&a)[8], const double (&b)[4], u32) {
    if (NA == 1)
        DENSE(D2, "{%2}", "{%3}", IO2("d"), IN1("d", a), IN1("d", b));
    else if (NA == 2)
        DENSE(D4, "{%4,%5}", "{%6}", IO4("d"), IN2("d", a), IN1("d", b));
    else if (NA == 4)
        DENSE(D4, "{%4,%5,%6,%7}", "{%8,%9}", IO4("d"), IN4("d", a), IN2("d", b));
    else
        DENSE(D4, "{%4,%5,%6,%7,%8,%9,%10,%11}", "{%12,%13,%14,%15}", IO4("d"), IN8("d", a), IN4("d", b));
}

// Where FP8 is emulated (it is native on Ada and on sm_120), products do not depend on the accumulators: they would be made
// once, were B not (as far as the compiler knows) another each time. `zero` is 0 at run time only.
#if __CUDA_ARCH__ >= 900 && __CUDA_ARCH__ < 1200
constexpr bool NUDGED = FP8;
#else
constexpr bool NUDGED = false;
#endif
__device__ __forceinline__ void nudge(u32& unit, u32 zero) { unit += zero; }
__device__ __forceinline__ void nudge(double&, u32) {}

// One MMA with the fragment of B whose turn it is.
__device__ __forceinline__ void mma(Value (&d)[4], Operands& o, int turn, u32 zero) {
#pragma unroll
    for (int i = 0; NUDGED && i < NB; ++i) nudge(o.b[turn & 1][i], zero);
    issue(d, o.a, o.b[turn & 1], o.metadata);
}

// Accumulators that all hold `start`, in whatever way they are stored.
__device__ __forceinline__ void set(float (&d)[4], int start) { d[0] = d[1] = d[2] = d[3] = (float)start; }
__device__ __forceinline__ void set(double (&d)[4], int start) { d[0] = d[1] = d[2] = d[3] = (double)start; }
__device__ __forceinline__ void set(u32 (&d)[4], int start) {
    d[0] = d[1] = d[2] = d[3] = C == f16 ? pack_f16((float)start, (float)start) : (u32)start;
}

__device__ __forceinline__ float half_of(u32 packed, int which) {
    float value;
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"((u16)(packed >> (16 * which))));
    return value;
}

// What a thread stores: the sums over its chains of d0..d3 (FP16 as FP32), or of FP64 d0 + 2 d2 and d1 + 2 d3.
typedef Choose<C == f16, float, Value>::type Sum;

__device__ __forceinline__ Sum value_of(const Value (&d)[4], int place) {
    if (C != f16) return place < NC ? (Sum)d[place] : (Sum)0;
    return (Sum)half_of((u32)d[place / 2], place % 2);
}

__device__ __forceinline__ void store(u32* out, const float (&d)[4]) { *(float4*)out = make_float4(d[0], d[1], d[2], d[3]); }
__device__ __forceinline__ void store(u32* out, const u32 (&d)[4]) { *(uint4*)out = make_uint4(d[0], d[1], d[2], d[3]); }
__device__ __forceinline__ void store(u32* out, const double (&d)[4]) {
    *(double2*)out = make_double2(d[0] + 2.0 * d[2], d[1] + 2.0 * d[3]);
}

// One more MMA for each chain, so that what is stored is never only what the chain began with, and the sums.
template <int CHAINS>
__device__ __forceinline__ void conclude(u32* out, Value (&d)[CHAINS][4], Operands& o, u32 zero) {
    Sum sum[4] = {0, 0, 0, 0};
#pragma unroll
    for (int c = 0; c < CHAINS; ++c) {
        mma(d[c], o, 0, zero);
#pragma unroll
        for (int r = 0; r < 4; ++r) sum[r] += value_of(d[c], r);
    }
    store(out + 4u * thread_index(), sum);
}
