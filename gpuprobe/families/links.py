"""The table of timed instructions, by the names of microbench/compute/ops.cuh, and what their kernels must be."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from gpuprobe.estimate import Point
from gpuprobe.families.instructions import (
    M32,
    M64,
    Link,
    b32,
    bf16,
    bf16_halves,
    brev,
    double_step,
    dp4a,
    exp2,
    f16,
    f16_value,
    f32,
    f64,
    flo,
    float_step,
    halves,
    log2,
    lop3,
    narrow8,
    outcome,
    pack8,
    permute,
    s16x2,
    s32,
    signed,
    sum_beside,
    unary,
    unpack8,
)
from gpuprobe.gate import FORBIDDEN, Chain, Expect
from gpuprobe.operands import words

KX, KA, KB = 0x9E3779B9, 0x85EBCA6B, 0xC2B2AE35
WX, WA, WB = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
F1, H1, HM1, B1, BM1 = 0x3F800000, 0x3C003C00, 0xBC00BC00, 0x3F803F80, 0xBF80BF80
D1 = 0x3FF0000000000000
K, W = (KX, KA, KB), (WX, WA, WB)
ONES, DOUBLES = (F1, F1, F1), (D1, D1, D1)
PACK = (F1, 0x3FC00000, F1)
HALF = "HFMA2|HADD2|HMUL2"
CLOSE = 1e-5

INTEGER: Mapping[str, Link] = {
    "IADD3": Link(lambda x, a, b: x + a + b & M32, K, {"IADD3": 1}, "IADD3"),
    "IMAD": Link(lambda x, a, b: x * a + b & M32, K, {"IMAD": 1}, "IMAD"),
    "IMAD_HI": Link(lambda x, a, b: (x * a >> 32) + b & M32, K, {"IMAD.HI": 1}, "IMAD.HI"),
    "LOP3": Link(lop3, K, {"LOP3": 1}, "LOP3"),
    "SHF": Link(lambda x, a, b: (x << 5 | x >> 27) & M32, (KX, 5, KB), {"SHF": 1}, "SHF"),
    "PRMT": Link(permute, (KX, KA, 0x2103), {"PRMT": 1}, "PRMT"),
    "LEA_HI": Link(lambda x, a, b: (x >> 29) + a & M32, K, {"LEA.HI": 1}, "LEA.HI", sums="settled"),
    "MNMX": Link(lambda x, a, b: min(max(x, a), b), (7, 3, 5), {"VIMNMX|IMNMX": 2}, "VIMNMX|IMNMX", sums="settled"),
    "POPC": Link(lambda x, a, b: x.bit_count(), K, {"POPC": 1}, "POPC", sums="counted"),
    "BREV": Link(brev, K, {"BREV": 1}, "BREV"),
    "FLO": Link(flo, K, {"FLO": 1}, "FLO"),
    "SAD": Link(lambda x, a, b: abs(x - a) + b & M32, K, {"VABSDIFF": 1}, "VABSDIFF"),
    "DP4A": Link(dp4a, K, {"IDP.4A": 1}, "IDP.4A"),
}
FP32: Mapping[str, Link] = {
    "FADD": Link(float_step(lambda x, a, b: x + a), (0, F1, F1), {"FADD": 1}, "FADD"),
    "FMUL": Link(float_step(lambda x, a, b: x * a), (F1, F1 + 1, F1), {"FMUL": 1}, "FMUL"),
    "FFMA": Link(float_step(lambda x, a, b: x * a + b), (0, F1, F1), {"FFMA": 1}, "FFMA"),
    "FMNMX": Link(float_step(lambda x, a, b: min(max(x, a), b)), ONES, {"FMNMX": 2}, "FMNMX", sums="settled"),
}
FP16: Mapping[str, Link] = {
    "HFMA2": Link(halves(lambda x, a, b: x * a + b), (0, HM1, H1), {HALF: 1}, HALF),
    "HADD2": Link(halves(lambda x, a, b: a - x), (0, H1, H1), {HALF: 1}, HALF),
    "HMUL2": Link(halves(lambda x, a, b: x * a), (H1, HM1, H1), {HALF: 1}, HALF),
    "HMNMX2": Link(lambda x, a, b: x, (H1, H1, H1), {"HMNMX2": 2}, "HMNMX2", sums="settled"),
    "HFMA2_BF16": Link(bf16_halves(lambda x, a, b: x * a + b), (0, BM1, B1), {HALF: 1}, HALF),
}
FP64: Mapping[str, Link] = {
    "DADD": Link(double_step(lambda x, a, b: x + a), (0, D1, D1), {"DADD": 1}, "DADD", wide=True),
    "DMUL": Link(double_step(lambda x, a, b: x * a), (D1, D1 + 1, D1), {"DMUL": 1}, "DMUL", wide=True),
    "DFMA": Link(double_step(lambda x, a, b: x * a + b), (0, D1, D1), {"DFMA": 1}, "DFMA", wide=True),
}
SPECIAL: Mapping[str, Link] = {
    "RSQ": Link(unary(lambda x: 1 / math.sqrt(x)), ONES, {"MUFU.RSQ": 1}, "MUFU.RSQ", sums="counted", close=CLOSE),
    "SQRT": Link(unary(math.sqrt), ONES, {"MUFU.SQRT": 1}, "MUFU.SQRT", sums="counted", close=CLOSE),
    "EX2": Link(unary(exp2), (0x40800000, F1, F1), {"MUFU.EX2": 1}, "MUFU.EX2", sums="counted", close=CLOSE),
    "LG2": Link(unary(log2), (0x41800000, F1, F1), {"MUFU.LG2": 1}, "MUFU.LG2", sums="counted"),
    "TANH": Link(unary(math.tanh), (0, F1, F1), {"MUFU.TANH": 1}, "MUFU.TANH", sums="counted"),
    "RSQ64H": Link(
        double_step(lambda x, a, b: 1 / math.sqrt(x)),
        DOUBLES,
        {"MUFU.RSQ64H": 1},
        "MUFU.RSQ64H",
        sums="counted",
        wide=True,
    ),
}
CONVERSIONS: Mapping[str, Link] = {
    "F2I": Link(lambda x, a, b: int(np.rint(f32(x))) & M32, (0x4B000000, F1, F1), {"F2I": 1}, "F2I", sums="counted"),
    "I2F": Link(lambda x, a, b: b32(signed(x)), (1, F1, F1), {"I2FP|I2F": 1}, "I2FP|I2F", sums="settled"),
    "I2F_U8": Link(lambda x, a, b: b32(x & 0xFF), (1, F1, F1), {"I2F": 1}, "I2F", sums="counted"),
    "FRND": Link(unary(lambda x: float(np.rint(x))), (0x3FC00000, F1, F1), {"FRND": 1}, "FRND", sums="counted"),
    "F2FP_F16": Link(lambda x, a, b: f16(f32(a)) << 16 | f16(f32(x)), PACK, {"F2FP": 1}, "F2FP", sums="settled"),
    "F2FP_BF16": Link(
        lambda x, a, b: bf16(float(f32(a))) << 16 | bf16(float(f32(x))),
        PACK,
        {"F2FP.BF16": 1},
        "F2FP.BF16",
        sums="settled",
    ),
    "F16_F32": Link(
        lambda x, a, b: b32(f16_value(x >> 16)), (H1, F1, F1), {"HADD2.F32": 1}, "HADD2.F32", sums="settled"
    ),
}
PATCHED: Mapping[str, Link] = {
    "HCOUNT": Link(halves(lambda x, a, b: x * a + b), (0, H1, H1), {HALF: 1}, HALF),
}
"""Links that are of use only to patched kernels: FP16 counts its steps up to 2048."""

SINGLE: Mapping[str, Link] = {**INTEGER, **FP32, **FP16, **FP64, **SPECIAL, **CONVERSIONS}
"""Links of one machine instruction (or one opcode twice), on every architecture."""

SEQUENCES: Mapping[str, Link] = {
    "ADD64": Link(lambda x, a, b: x + a + b & M64, W, {"IADD3.X|IMAD.X": 1}, wide=True),
    "MUL64": Link(lambda x, a, b: x * a & M64, W, {"IMAD": 3}, wide=True),
    "DIV32": Link(lambda x, a, b: a // x + 3 & M32, K, {"MUFU.RCP": 1}, sums="counted"),
    "FSETP_SEL": Link(float_step(lambda x, a, b: b if x < a else 0), (0, F1, 0x40000000), {"FSETP": 1, "SEL|FSEL": 1}),
    "RCP_FADD": Link(
        unary(lambda x: 1 / x + 1), ONES, {"MUFU.RCP": 1, "FADD": 1}, "MUFU.RCP", ("FADD",), sums="counted", close=CLOSE
    ),
    "SIN": Link(unary(math.sin), (0, F1, F1), {"MUFU.SIN": 1, "FMUL": 1}, "MUFU.SIN", ("FMUL",), sums="counted"),
    "COS": Link(
        unary(math.cos), (0, F1, F1), {"MUFU.COS": 1, "FMUL": 1}, "MUFU.COS", ("FMUL",), sums="counted", close=CLOSE
    ),
    "EX2_F16X2": Link(
        halves(lambda x, a, b: exp2(x)), (0x40004000, F1, F1), {"MUFU.EX2": 2}, sums="counted", close=CLOSE
    ),
    "TANH_F16X2": Link(halves(lambda x, a, b: math.tanh(x)), (0, F1, F1), {"MUFU.TANH": 2}, sums="counted"),
    "F32_F64": Link(lambda x, a, b: x, (0x3FF8000000000000, D1, D1), {"F2F": 2}, "F2F", sums="counted", wide=True),
    "SQRT_RN": Link(unary(math.sqrt), (0x40800000, F1, F1), {"MUFU.RSQ": 1}, sums="counted", slow=True),
    "RCP_RN": Link(float_step(lambda x, a, b: 1 / x + a), ONES, {"MUFU.RCP": 1}, sums="counted", slow=True),
    "DIV_RN": Link(float_step(lambda x, a, b: a / x + b), ONES, {"MUFU.RCP": 1}, sums="counted", slow=True),
    "DDIV_RN": Link(
        double_step(lambda x, a, b: a / x + b), DOUBLES, {"MUFU.RCP64H": 1}, sums="counted", wide=True, slow=True
    ),
    "DSQRT_RN": Link(
        double_step(lambda x, a, b: math.sqrt(x)),
        (0x4010000000000000, D1, D1),
        {"MUFU.RSQ64H": 1},
        sums="counted",
        wide=True,
        slow=True,
    ),
    "EXPF": Link(unary(lambda x: math.exp(-x)), ONES, {"MUFU.EX2": 1}, sums="counted", close=CLOSE),
    "LOGF": Link(
        unary(lambda x: math.log(x + 3)), (F1, 0x40400000, F1), {"FFMA": 12}, sums="counted", close=CLOSE, slow=True
    ),
    "SINF": Link(unary(math.sin), (0, F1, F1), {"F2I": 1}, sums="counted", slow=True),
}
"""Links of several instructions: library functions and pairs that cannot be told apart."""

FP8: Mapping[str, Link] = {
    "E4M3_F16": Link(unpack8(4), (0x3838, F1, F1), {"F2FP.F16.E4M3": 1}, "F2FP.F16.E4M3", sums="settled"),
    "E5M2_F16": Link(unpack8(5), (0x3C3C, F1, F1), {"F2FP.F16.E5M2": 1}, "F2FP.F16.E5M2", sums="settled"),
    "F32_E4M3": Link(
        pack8(4), PACK, {"F2FP.SATFINITE.E4M3.F32": 1}, "F2FP.SATFINITE.E4M3.F32", ("PRMT",), sums="settled"
    ),
    "F32_E5M2": Link(
        pack8(5), PACK, {"F2FP.SATFINITE.E5M2.F32": 1}, "F2FP.SATFINITE.E5M2.F32", ("PRMT",), sums="settled"
    ),
    "F16_E4M3": Link(narrow8(4), (H1, H1, F1), {"F2FP.SATFINITE.E4M3.F16": 1}, sums="settled"),
    "F16_E5M2": Link(narrow8(5), (H1, H1, F1), {"F2FP.SATFINITE.E5M2.F16": 1}, sums="settled"),
}
"""Conversions from and to FP8 (sm_89 and later)."""

_COUNTING = (1, 3, 0)
_ADDMAX, _MAX3 = "VIADDMNMX", "VIMNMX3"
DPX: Mapping[str, Link] = {
    "VIADDMAX_S32": Link(s32(lambda x, a, b: max(x + a, b)), _COUNTING, {_ADDMAX: 1}, _ADDMAX),
    "VIADDMIN_S32": Link(s32(lambda x, a, b: min(x + a, b)), (1, 3, 0x7FFFFFFF), {_ADDMAX: 1}, _ADDMAX),
    "VIADDMAX_U32": Link(lambda x, a, b: max(x + a & M32, b), _COUNTING, {_ADDMAX: 1}, _ADDMAX),
    "VIADDMAX_S32_RELU": Link(s32(lambda x, a, b: max(x + a, b, 0)), _COUNTING, {_ADDMAX: 1}, _ADDMAX),
    "VIADDMAX_S16X2": Link(
        s16x2(lambda x, a, b: max(x + a, b)), (0x00010002, 0x00010001, 0x80018001), {_ADDMAX: 1}, _ADDMAX
    ),
    "VIADDMAX_S16X2_RELU": Link(
        s16x2(lambda x, a, b: max(x + a, b, 0)), (0x00010002, 0x00010001, 0), {_ADDMAX: 1}, _ADDMAX
    ),
    "VIMAX3_S32": Link(s32(max), (1, 3, 5), {_MAX3: 1}, _MAX3, sums="settled"),
    "VIMAX3_S16X2": Link(s16x2(max), (0x00010002, 0x00030003, 0x00050001), {_MAX3: 1}, _MAX3, sums="settled"),
    "VIMAX3_S32_RELU": Link(s32(lambda x, a, b: max(x, a, b, 0)), (1, 3, 5), {_MAX3: 1}, _MAX3, sums="settled"),
    "VIMAX_S32_RELU": Link(s32(lambda x, a, b: max(x, a, 0)), (1, 3, 5), {"VIMNMX": 1}, "VIMNMX", sums="settled"),
}
"""Dynamic-programming instructions: native on sm_90, emulated elsewhere."""

LINKS: Mapping[str, Link] = {**SINGLE, **SEQUENCES, **FP8, **DPX, **PATCHED}
_SUM_SLACK = 1 << 26
SLOTS = 4096
"""Results that op_rate.cu keeps: a thread stores at its number modulo this."""
MOVES = ("MOV", "IMAD.MOV")
"""Moves with which a loop of pairs of registers begins."""
ANY = (
    "FFMA",
    "FADD",
    "FMUL",
    "IMAD",
    "IADD3",
    "IADD",
    "VIADD",
    "LOP3",
    "SHF",
    "LEA",
    "ISETP",
    "FSETP",
    "SEL",
    "FSEL",
    "PRMT",
    "MUFU",
    "F2I",
    "I2F",
    "I2FP",
    "F2F",
    "DFMA",
    "DMUL",
    "DADD",
    "FCHK",
    "IABS",
    "PLOP3",
    "FRND",
)
"""What a sequence may be made of besides what is counted."""


def expect_chain(name: str, links: int, *, emulated: bool = False) -> Expect:
    """What the kernel of ``links`` dependent links must hold."""
    return _expect(name, links, 1, emulated=emulated)


def expect_chains(name: str, links: int, width: int, *, emulated: bool = False) -> Expect:
    """What the kernel of ``links`` links in ``width`` independent chains must hold."""
    return _expect(name, links, width, emulated=emulated)


def _expect(name: str, links: int, width: int, *, emulated: bool) -> Expect:
    link = LINKS[name]
    counts = {opcode: count * links for opcode, count in link.opcodes.items()}
    chain = Chain(link.chain, width=width, via=link.via + (MOVES if link.wide else ())) if link.chain else None
    whole = name in SEQUENCES or name in FP8
    return Expect(
        loop=True,
        counts=counts,
        chain=chain,
        forbid=() if link.slow else FORBIDDEN,
        predicated=link.slow,
        allow=ANY if whole else ("IADD3",) if link.sums == "counted" else (),
        moves=1 << 16 if whole else 16,
        allow_emulated=emulated,
    )


def check_chain(name: str, point: Point, steps: int, out: bytes) -> str | None:
    """Reason where the end of a chain of ``steps`` links, its sum or its turns are not the host's."""
    found = words(out)[: 4 * point.block].reshape(-1, 4)
    link = LINKS[name]
    bits, total = outcome(link, steps)[0], sum_beside(link, steps)
    reason = _wrong_end(link, found, bits) or _wrong_turns(found, point.iters)
    if reason is not None:
        return reason
    slack = _SUM_SLACK if link.close else 0
    off = (found[:, 2].astype(np.int64) - total + (1 << 31)) % (1 << 32) - (1 << 31)
    worst = int(np.abs(off).max())
    return (
        f"the sum of the chain's operands is {worst} away from the host's: some links did not run"
        if worst > slack
        else None
    )


def check_chains(name: str, point: Point, steps: int, width: int, out: bytes) -> str | None:
    """Reason where one of ``width`` chains of ``steps`` links ends elsewhere, in SLOTS of the threads of all blocks."""
    found = words(out)[: 4 * min(SLOTS, point.grid * point.block)].reshape(-1, 4)
    link = LINKS[name]
    reason = _wrong_end(link, found, outcome(link, steps)[0]) or _wrong_turns(found, point.iters)
    if reason is None and not np.all(found[:, 2] == width):
        return f"only {int(found[:, 2].min())} of {width} chains end alike"
    return reason


def _wrong_end(link: Link, found: np.ndarray, bits: int) -> str | None:
    ends = found[:, 0].astype(np.uint64) | found[:, 1].astype(np.uint64) << np.uint64(32)
    if not link.wide:
        ends = ends & np.uint64(M32)
    if link.close:
        view = (np.float64, ends) if link.wide else (np.float32, ends.astype(np.uint32))
        values = view[1].view(view[0]).astype(np.float64)
        wanted = float(f64(bits) if link.wide else f32(bits))
        near = np.abs(values - wanted) <= link.close * abs(wanted) if math.isfinite(wanted) else values == wanted
        return None if np.all(near) else f"a chain ends at {values[~near][0]:.6g}, the host's at {wanted:.6g}"
    wrong = np.flatnonzero(ends != np.uint64(bits))
    return f"a chain ends at {int(ends[wrong[0]]):#x}, the host's at {bits:#x}" if wrong.size else None


def _wrong_turns(found: np.ndarray, turns: int) -> str | None:
    wrong = np.flatnonzero(found[:, 3] != np.uint32(turns & M32))
    return f"{int(found[wrong[0], 3])} turns of the loop instead of {turns}" if wrong.size else None
