// Vectors that show how a matrix instruction adds: designed ones, then random ones. Host twin: gpuprobe/numerics/vectors.py.
//
// A tile is 64 rows of A by 8 columns of B. The first DESIGNED tiles hold one designed vector a row (B is all ones, but for E4M3),
// the others random operands of the distribution `tile % 8`.
#pragma once
#include "probe.cuh"

#define F16 0
#define F16_F16 1
#define BF16 2
#define TF32 3
#define E4M3 4
#define E4M3_F16 5
#define E5M2 6
#define F64 8

#if TYPE == F64
#define K 4
#define EXPONENT 11
#define MANTISSA 52
#elif TYPE == F16 || TYPE == F16_F16
#define K 16
#define EXPONENT 5
#define MANTISSA 10
#elif TYPE == BF16
#define K 16
#define EXPONENT 8
#define MANTISSA 7
#elif TYPE == TF32
#define K 8
#define EXPONENT 8
#define MANTISSA 10
#elif TYPE == E5M2
#define K 32
#define EXPONENT 5
#define MANTISSA 2
#else
#define K 32
#define EXPONENT 4
#define MANTISSA 3
#endif

#define BIAS ((1 << (EXPONENT - 1)) - 1)
#define IS_E4M3 (TYPE == E4M3 || TYPE == E4M3_F16)
#define TOP_FIELD ((1 << EXPONENT) - (IS_E4M3 ? 1 : 2))  // of the largest finite numbers

#if TYPE == F64
#define C_EXPONENT 11
#define C_MANTISSA 52
#elif TYPE == F16_F16 || TYPE == E4M3_F16
#define C_EXPONENT 5
#define C_MANTISSA 10
#else
#define C_EXPONENT 8
#define C_MANTISSA 23
#endif
#define C_BIAS ((1 << (C_EXPONENT - 1)) - 1)

#define ROWS 64
#define COLUMNS 8
#define DESIGNED 40  // tiles: 16 families of 32 shifts, then two tables of 32 x 32 positions
// E4M3 is too narrow for numbers that are lost beside each other: B widens their distance, by 2^WIDE either way.
#define WIDE (TYPE == E4M3 ? 6 : TYPE == E4M3_F16 ? 4 : 0)
#define TOP (IS_E4M3 ? 8 + WIDE : 12)                // exponent of the large number X
#define DEEPER (TYPE == F64 ? 30 : 2 * WIDE)         // the first shift below X
#define LOST (TYPE == F64 ? 58 : IS_E4M3 ? 16 + 2 * WIDE : 28)  // a shift at which nothing is left of a number beside X

__device__ __forceinline__ u32 draw(u32 index, u32 seed) { return mix(index * 0x9e3779b9u + seed); }

// A mantissa of `bits` bits from two draws.
__device__ __forceinline__ u64 mantissa_of(u32 h, int bits) { return ((u64)mix(h + 1u) << 32 | h) & (((u64)1 << bits) - 1); }

__device__ __forceinline__ u64 encoded(u32 sign, int field, u64 mantissa, int exponent_bits, int mantissa_bits) {
    return (u64)sign << (exponent_bits + mantissa_bits) | (u64)field << mantissa_bits | mantissa;
}

__device__ __forceinline__ int clipped(int field, int top) { return field < 0 ? 0 : field > top ? top : field; }

// 2^exponent, or 1.5 times it; below the normal numbers what is left of it.
__device__ __forceinline__ u64 power(u32 sign, int exponent, int half, int exponent_bits, int mantissa_bits) {
    int bias = (1 << (exponent_bits - 1)) - 1, field = exponent + bias;
    if (field >= 1) return encoded(sign, field, (u64)half << (mantissa_bits - 1), exponent_bits, mantissa_bits);
    u64 mantissa = ((u64)(2 + half) << mantissa_bits) >> 1;
    int shift = 1 - field;
    return encoded(sign, 0, shift > mantissa_bits + 1 ? 0 : mantissa >> shift, exponent_bits, mantissa_bits);
}

// 0 infinity (or NaN where there is none), 1 NaN, 2 zero, 3 the largest finite number, 4 the smallest positive one.
__device__ __forceinline__ u64 special(u32 which, u32 sign, int exponent_bits, int mantissa_bits, bool finite_only) {
    int ones = (1 << exponent_bits) - 1;
    u64 all = ((u64)1 << mantissa_bits) - 1;
    if (which <= 1) return encoded(sign, ones, finite_only ? all : which == 0 ? 0 : all >> 1 | 1, exponent_bits, mantissa_bits);
    if (which == 2) return encoded(sign, 0, 0, exponent_bits, mantissa_bits);
    if (which == 3 && finite_only) return encoded(sign, ones, all - 1, exponent_bits, mantissa_bits);
    if (which == 3) return encoded(sign, ones - 1, all, exponent_bits, mantissa_bits);
    return encoded(sign, 0, 1, exponent_bits, mantissa_bits);
}

// Element of A (side 0) or B (side 1): `line` is the row or column over all tiles.
__device__ __forceinline__ u64 random_element(u32 side, u32 line, u32 k, u32 kind, u32 seed) {
    u32 index = (side << 30) + line * K + k;
    u32 h = draw(kind == 3u ? index & ~1u : index, seed);
    u32 sign = h >> 31, pick = h >> 16 & 0x7FFFu;
    u64 mantissa = mantissa_of(h, MANTISSA);
    int field = BIAS - 1 + (int)(pick % 3u);
    if (kind == 0u) field = (int)(pick % (TOP_FIELD + 1u));
    if (kind == 2u || kind == 6u) field = BIAS - 8 + (int)(pick % 17u);
    if (kind == 3u && side == 0u) sign ^= k & 1u;
    if (kind == 3u && side == 1u) mantissa ^= k & pick & 1u;
    if (kind == 4u) field = side == 0u ? (int)(pick % 3u) : BIAS - 2 + (int)(pick % 5u);
    field = clipped(field, TOP_FIELD);
    u32 other = mix(h + 2u);
    if (kind == 5u && other % 256u < 5u) return special(other % 256u, sign, EXPONENT, MANTISSA, IS_E4M3);
    if (kind == 6u && other % 4u) return encoded(sign, 0, 0, EXPONENT, MANTISSA);
    // Not `field == TOP_FIELD && mantissa == 7`: after clipped(), NVRTC 13.0.88 takes that for every field (sm_90).
    u64 magnitude = encoded(0, field, mantissa, EXPONENT, MANTISSA);
    if (IS_E4M3 && magnitude > 0x7Eu) magnitude = 0x7Eu;  // the largest number instead of NaN
    return magnitude | (u64)sign << (EXPONENT + MANTISSA);
}

__device__ __forceinline__ u64 random_addend(u32 line, u32 column, u32 kind, u32 seed) {
    u32 h = draw((2u << 30) + line * COLUMNS + column, seed);
    u32 sign = h >> 31, pick = h >> 16 & 0x7FFFu, other = mix(h + 2u);
    int exponent = -3 + (int)(pick % 8u);
    if (kind == 0u) exponent = h & 1u ? -40 + (int)(pick % 80u) : (int)(pick % (1u << C_EXPONENT)) - C_BIAS;
    if (kind == 2u || kind == 6u) exponent = -16 + (int)(pick % 33u);
    if (kind == 3u) exponent = -(int)(pick % 24u);
    if (kind == 4u) exponent = 1 - BIAS + (int)(pick % 8u) - 4;
    if (kind == 7u) exponent = (int)(pick % 30u);
    int field = clipped(exponent + C_BIAS, (1 << C_EXPONENT) - 2);
    if (kind == 5u && other % 64u < 5u) return special(other % 64u, sign, C_EXPONENT, C_MANTISSA, false);
    if (kind == 6u && other % 2u) return encoded(sign, 0, 0, C_EXPONENT, C_MANTISSA);
    return encoded(sign, field, mantissa_of(h, C_MANTISSA), C_EXPONENT, C_MANTISSA);
}

// One number of a designed vector: sign (0: none), shift below X, half (1: one and a half times it).
struct Part {
    int sign, shift, half;
};

// Families of designed vectors, a digit a place: from the right the addend, then large numbers at 0 and 2 and small ones
// at 1 and 3. 0 nothing, 1 X, 2 -X; s below X: 3 a number, 4 one and a half times it, 5 that below zero, 6 the number below zero;
// s + 1 below X: 7 a number, 8 one below zero.
__constant__ u32 FAMILIES[16] = {
    0x02310u,  // what alignment keeps
    0x02410u,  // how it cuts
    0x02510u,  // and below zero
    0x00312u,  // X in the addend
    0x02013u,  // what is kept of the addend
    0x02014u,
    0x02015u,
    0x00310u,  // bits of the result
    0x00620u,
    0x70310u,  // and its rounding
    0x80620u,
    0x01310u,  // after a carry
    0x70311u,  // rounding after a carry
    0x00401u,  // a large addend
    0x00601u,
    0x70301u,
};

__device__ __forceinline__ Part family(u32 f, int s, int place) {
    int digit = (int)(FAMILIES[f] >> (4 * (place + 1)) & 15u);
    bool below_zero = digit == 2 || digit == 5 || digit == 6 || digit == 8;
    Part part = {digit == 0 ? 0 : below_zero ? -1 : 1, digit < 3 ? 0 : digit < 7 ? s : s + 1, digit == 4 || digit == 5};
    return part;
}

// Where along k the places of a family are: those of FP8 in one group also where an emulation takes k by twos.
__device__ __forceinline__ int place_of(int k) { return K < 32 || k < 2 ? k : k < 4 ? 4 : k < 6 ? k - 2 : 4; }

// Part of designed vector `v` at `k` (-1: the addend).
__device__ __forceinline__ Part designed(u32 v, int k) {
    const Part none = {0, 0, 0}, x = {1, 0, 0}, minus = {-1, 0, 0}, small = {1, LOST, 0};
    if (v < 512u) return place_of(k) > 3 ? none : family(v / 32u, DEEPER + (int)(v % 32u), place_of(k));
    int p = (int)((v - 512u) / 32u % 32u), l = (int)(v % 32u);
    bool paired = v >= 1536u;
    if (p >= K || l >= K || p == l || ((paired || IS_E4M3) && (p ^ 1) == l)) return none;
    if (k == l) return small;
    if (k == p) return x;
    if (k == (paired ? p ^ 1 : -1)) return minus;
    return none;
}

__device__ __forceinline__ u64 part_bits(Part part, int top, int exponent_bits, int mantissa_bits) {
    if (part.sign == 0) return 0;
    return power(part.sign < 0, top - part.shift, part.half, exponent_bits, mantissa_bits);
}

__device__ __forceinline__ int b_exponent(u32 tile, u32 k) {
    bool large = tile < 8u ? k != 1u && k != 5u : k / 2u == (tile - 8u) % 16u;
    return large ? WIDE : -WIDE;
}

__device__ __forceinline__ u64 a_bits(u32 tile, u32 row, u32 k, u32 seed) {
    u32 line = tile * ROWS + row;
    if (tile < DESIGNED) return part_bits(designed(line, (int)k), TOP - b_exponent(tile, k), EXPONENT, MANTISSA);
    return random_element(0, line, k, tile % 8u, seed);
}

__device__ __forceinline__ u64 b_bits(u32 tile, u32 column, u32 k, u32 seed) {
    if (tile < DESIGNED) return power(0, b_exponent(tile, k), 0, EXPONENT, MANTISSA);
    return random_element(1, tile * COLUMNS + column, k, tile % 8u, seed);
}

__device__ __forceinline__ u64 c_bits(u32 tile, u32 row, u32 column, u32 seed) {
    u32 line = tile * ROWS + row;
    if (tile < DESIGNED) return part_bits(designed(line, -1), TOP, C_EXPONENT, C_MANTISSA);
    return random_addend(line, column, tile % 8u, seed);
}
