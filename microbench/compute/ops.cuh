// The links of instruction chains by name; gpuprobe/families/instructions.py is the host's twin.
// X(text, x, a, b) is a link of PTX on 32-bit registers, x = f(x, a, b), with its first operands (as bits); W one on
// 64-bit registers, E an expression in x, a and b. Links that settle at a fixed point: XC, WC and EC are proven by a sum of
// every operand and 1 beside the chain; XS and ES are on the pipe of integer adds, which a sum would slow down, so that the
// gate's count of them in the loop and the loop's turns stand for their number.
#pragma once
#include "probe.cuh"

enum Sum { PLAIN, COUNTED, SETTLED };

#define DECLARE(op) DECLARE_NAMED(op)
#define DECLARE_NAMED(op) OP_##op
#define LINK(word, letter, text, x0, a0, b0, sums)                                                                     \
    typedef word Word;                                                                                                 \
    const Word X0 = x0, A0 = a0, B0 = b0;                                                                              \
    const Sum SUM = sums;                                                                                              \
    __device__ __forceinline__ void link(Word& x, Word a, Word b) {                                                    \
        asm volatile(text : "+" letter(x) : letter(a), letter(b));                                                     \
    }
#define X(text, x0, a0, b0) LINK(u32, "r", text, x0, a0, b0, PLAIN)
#define XC(text, x0, a0, b0) LINK(u32, "r", text, x0, a0, b0, COUNTED)
#define XS(text, x0, a0, b0) LINK(u32, "r", text, x0, a0, b0, SETTLED)
#define W(text, x0, a0, b0) LINK(u64, "l", text, x0, a0, b0, PLAIN)
#define WC(text, x0, a0, b0) LINK(u64, "l", text, x0, a0, b0, COUNTED)
#define EXPRESSION(f, x0, a0, b0, sums)                                                                                \
    typedef u32 Word;                                                                                                  \
    const Word X0 = x0, A0 = a0, B0 = b0;                                                                              \
    const Sum SUM = sums;                                                                                              \
    __device__ __forceinline__ void link(Word& x, Word a, Word b) {                                                    \
        x = f;                                                                                                         \
        asm volatile("" : "+r"(x));                                                                                    \
    }
#define E(f, x0, a0, b0) EXPRESSION(f, x0, a0, b0, PLAIN)
#define EC(f, x0, a0, b0) EXPRESSION(f, x0, a0, b0, COUNTED)
#define ES(f, x0, a0, b0) EXPRESSION(f, x0, a0, b0, SETTLED)

#define KX 0x9e3779b9u
#define KA 0x85ebca6bu
#define KB 0xc2b2ae35u
#define WX 0x9e3779b97f4a7c15ull
#define WA 0xbf58476d1ce4e5b9ull
#define WB 0x94d049bb133111ebull
#define F1 0x3f800000u      // 1.0f
#define FUP 0x3f800001u     // the next number after 1.0f
#define H1 0x3c003c00u      // 1.0 in both halves
#define HM1 0xbc00bc00u     // -1.0 in both halves
#define B1 0x3f803f80u      // 1.0 in both halves (bf16)
#define BM1 0xbf80bf80u
#define D1 0x3ff0000000000000ull
#define DUP 0x3ff0000000000001ull

// integer
#define OP_IADD3 X("{.reg .b32 t; add.u32 t, %0, %1; add.u32 %0, t, %2;}", KX, KA, KB)
#define OP_IMAD X("mad.lo.u32 %0, %0, %1, %2;", KX, KA, KB)
#define OP_IMAD_HI X("mad.hi.u32 %0, %0, %1, %2;", KX, KA, KB)
#define OP_LOP3 X("lop3.b32 %0, %0, %1, %2, 0x3a;", KX, KA, KB)
#define OP_SHF X("shf.l.wrap.b32 %0, %0, %0, %1;", KX, 5u, KB)
#define OP_PRMT X("prmt.b32 %0, %0, %1, %2;", KX, KA, 0x2103u)
#define OP_LEA_HI XS("{.reg .b32 t; shr.u32 t, %0, 29; add.u32 %0, t, %1;}", KX, KA, KB)
#define OP_MNMX XS("max.s32 %0, %0, %1; min.s32 %0, %0, %2;", 7u, 3u, 5u)
#define OP_POPC XC("popc.b32 %0, %0;", KX, KA, KB)
#define OP_BREV X("brev.b32 %0, %0;", KX, KA, KB)
#define OP_FLO X("bfind.u32 %0, %0;", KX, KA, KB)
#define OP_SAD X("sad.u32 %0, %0, %1, %2;", KX, KA, KB)
#define OP_DP4A X("dp4a.u32.u32 %0, %0, %1, %2;", KX, KA, KB)
#define OP_ADD64 W("{.reg .b64 t; add.u64 t, %0, %1; add.u64 %0, t, %2;}", WX, WA, WB)
#define OP_MUL64 W("mul.lo.u64 %0, %0, %1;", WX, WA, WB)
#define OP_DIV32 XC("div.u32 %0, %1, %0; add.u32 %0, %0, 3;", KX, KA, KB)

// FP32
#define OP_FADD X("add.f32 %0, %0, %1;", 0u, F1, F1)
#define OP_FMUL X("mul.f32 %0, %0, %1;", F1, FUP, F1)
#define OP_FFMA X("fma.rn.f32 %0, %0, %1, %2;", 0u, F1, F1)
#define OP_FMNMX XS("max.f32 %0, %0, %1; min.f32 %0, %0, %2;", F1, F1, F1)
#define OP_FSETP_SEL X("{.reg .pred p; setp.lt.f32 p, %0, %1; selp.b32 %0, %2, 0, p;}", 0u, F1, 0x40000000u)

// FP16 and BF16, two a register
#define OP_HFMA2 X("fma.rn.f16x2 %0, %0, %1, %2;", 0u, HM1, H1)
#define OP_HADD2 X("sub.f16x2 %0, %1, %0;", 0u, H1, H1)
#define OP_HCOUNT X("fma.rn.f16x2 %0, %0, %1, %2;", 0u, H1, H1)
#define OP_HCOUNT_MMA OP_HCOUNT
#define OP_HMUL2 X("mul.f16x2 %0, %0, %1;", H1, HM1, H1)
#define OP_HMNMX2 XS("max.f16x2 %0, %0, %1; min.f16x2 %0, %0, %2;", H1, H1, H1)
#define OP_HFMA2_BF16 X("fma.rn.bf16x2 %0, %0, %1, %2;", 0u, BM1, B1)

// FP64
#define OP_DADD W("add.f64 %0, %0, %1;", 0ull, D1, D1)
#define OP_DMUL W("mul.f64 %0, %0, %1;", D1, DUP, D1)
#define OP_DFMA W("fma.rn.f64 %0, %0, %1, %2;", 0ull, D1, D1)

// special functions: one MUFU each, but for sin and cos, which reduce their argument first
#define OP_RSQ XC("rsqrt.approx.ftz.f32 %0, %0;", F1, F1, F1)
#define OP_RSQRT OP_RSQ
#define OP_SQRT XC("sqrt.approx.ftz.f32 %0, %0;", F1, F1, F1)
#define OP_EX2 XC("ex2.approx.ftz.f32 %0, %0;", 0x40800000u, F1, F1)
#define OP_LG2 XC("lg2.approx.ftz.f32 %0, %0;", 0x41800000u, F1, F1)
#define OP_TANH XC("tanh.approx.f32 %0, %0;", 0u, F1, F1)
#define OP_RSQ64H WC("rsqrt.approx.ftz.f64 %0, %0;", D1, D1, D1)
#define OP_EX2_F16X2 XC("ex2.approx.f16x2 %0, %0;", 0x40004000u, F1, F1)
#define OP_TANH_F16X2 XC("tanh.approx.f16x2 %0, %0;", 0u, F1, F1)
#define OP_RCP_FADD XC("rcp.approx.ftz.f32 %0, %0; add.ftz.f32 %0, %0, %1;", F1, F1, F1)
#define OP_SIN XC("sin.approx.ftz.f32 %0, %0;", 0u, F1, F1)
#define OP_COS XC("cos.approx.ftz.f32 %0, %0;", 0u, F1, F1)
#define OP_SQRT_RN XC("sqrt.rn.f32 %0, %0;", 0x40800000u, F1, F1)
#define OP_RCP_RN XC("rcp.rn.f32 %0, %0; add.f32 %0, %0, %1;", F1, F1, F1)
#define OP_DIV_RN XC("div.rn.f32 %0, %1, %0; add.f32 %0, %0, %2;", F1, F1, F1)
#define OP_DDIV_RN WC("div.rn.f64 %0, %1, %0; add.f64 %0, %0, %2;", D1, D1, D1)
#define OP_DSQRT_RN WC("sqrt.rn.f64 %0, %0;", 0x4010000000000000ull, D1, D1)

// conversions; the bits of one number are the operand of the next
#define OP_F2I XC("cvt.rni.s32.f32 %0, %0;", 0x4b000000u, F1, F1)
#define OP_I2F XS("cvt.rn.f32.s32 %0, %0;", 1u, F1, F1)
#define OP_I2F_U8 XC("cvt.rn.f32.u8 %0, %0;", 1u, F1, F1)
#define OP_FRND XC("cvt.rni.f32.f32 %0, %0;", 0x3fc00000u, F1, F1)
#define OP_F32_F64 WC("{.reg .b32 t; cvt.rn.f32.f64 t, %0; cvt.f64.f32 %0, t;}", 0x3ff8000000000000ull, D1, D1)
#define OP_F2FP_F16 XS("cvt.rn.f16x2.f32 %0, %1, %0;", F1, 0x3fc00000u, F1)
#define OP_F2FP_BF16 XS("cvt.rn.bf16x2.f32 %0, %1, %0;", F1, 0x3fc00000u, F1)
#define OP_F16_F32 XS("{.reg .b16 l, h; mov.b32 {l, h}, %0; cvt.f32.f16 %0, h;}", H1, F1, F1)

// sequences of the mathematical library
#define OP_EXPF EC(__float_as_uint(expf(-__uint_as_float(x))), F1, F1, F1)
#define OP_LOGF EC(__float_as_uint(logf(__uint_as_float(x) + __uint_as_float(a))), F1, 0x40400000u, F1)
#define OP_SINF EC(__float_as_uint(sinf(__uint_as_float(x))), 0u, F1, F1)

// FP8, two a register half (sm_89 and later)
#define OP_E4M3_F16 XS("{.reg .b16 l; cvt.u16.u32 l, %0; cvt.rn.f16x2.e4m3x2 %0, l;}", 0x3838u, F1, F1)
#define OP_E5M2_F16 XS("{.reg .b16 l; cvt.u16.u32 l, %0; cvt.rn.f16x2.e5m2x2 %0, l;}", 0x3c3cu, F1, F1)
#define OP_F32_E4M3 XS("{.reg .b16 h; cvt.rn.satfinite.e4m3x2.f32 h, %1, %0; mov.b32 %0, {h, h};}", F1, 0x3fc00000u, F1)
#define OP_F32_E5M2 XS("{.reg .b16 h; cvt.rn.satfinite.e5m2x2.f32 h, %1, %0; mov.b32 %0, {h, h};}", F1, 0x3fc00000u, F1)
#define OP_F16_E4M3 XS("{.reg .b16 h; cvt.rn.satfinite.e4m3x2.f16x2 h, %0; mov.b32 %0, {h, h};}", H1, H1, F1)
#define OP_F16_E5M2 XS("{.reg .b16 h; cvt.rn.satfinite.e5m2x2.f16x2 h, %0; mov.b32 %0, {h, h};}", H1, H1, F1)

// DPX: dynamic programming, one instruction on sm_90
#define OP_VIADDMAX_S32 E(__viaddmax_s32(x, a, b), 1u, 3u, 0u)
#define OP_VIADDMIN_S32 E(__viaddmin_s32(x, a, b), 1u, 3u, 0x7fffffffu)
#define OP_VIADDMAX_U32 E(__viaddmax_u32(x, a, b), 1u, 3u, 0u)
#define OP_VIADDMAX_S32_RELU E(__viaddmax_s32_relu(x, a, b), 1u, 3u, 0u)
#define OP_VIADDMAX_S16X2 E(__viaddmax_s16x2(x, a, b), 0x00010002u, 0x00010001u, 0x80018001u)
#define OP_VIADDMAX_S16X2_RELU E(__viaddmax_s16x2_relu(x, a, b), 0x00010002u, 0x00010001u, 0u)
#define OP_VIMAX3_S32 ES(__vimax3_s32(x, a, b), 1u, 3u, 5u)
#define OP_VIMAX3_S16X2 ES(__vimax3_s16x2(x, a, b), 0x00010002u, 0x00030003u, 0x00050001u)
#define OP_VIMAX3_S32_RELU ES(__vimax3_s32_relu(x, a, b), 1u, 3u, 5u)
#define OP_VIMAX_S32_RELU ES(__vimax_s32_relu(x, a), 1u, 3u, 5u)
