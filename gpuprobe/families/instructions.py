"""Instructions that are timed as chains of links: the host's twin of microbench/compute/ops.cuh.

A link maps the bits of its chain register, x, and two operands, a and b, to new bits. What hundreds of thousands of
links leave is compared exactly where the arithmetic is exact (integers, IEEE operations, conversions), and to the
accuracy of the approximation for special functions.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np

_LONGEST_ORBIT = 128
M32, M64 = 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF
Step = Callable[[int, int, int], int]
Sum = Literal["", "counted", "settled"]


@dataclass(frozen=True, eq=False)  # one of a table: its identity is its hash
class Link:
    """One link: what it does to bits, its first operands, and the machine instructions it is.

    ``opcodes`` counts instructions per opcode pattern in one link; ``chain`` is the opcode of its dependency and
    ``via`` what else lies on it; ``sums``: a chain that settles is proven by a sum of operands and 1 beside it
    (counted), or by the gate's count and the turns of the loop alone (settled); ``close`` is the relative accuracy of
    an approximate operation (0: exact); ``wide``: 64 bits; ``slow``: the compiler keeps a path that is never taken
    (calls, local memory).
    """

    step: Step
    start: tuple[int, int, int]
    opcodes: Mapping[str, int]
    chain: str = ""
    via: tuple[str, ...] = ()
    sums: Sum = ""
    close: float = 0.0
    wide: bool = False
    slow: bool = False

    @property
    def instructions(self) -> int:
        """Machine instructions of a link on its chain, where it is one opcode several times."""
        return next(iter(self.opcodes.values()))


def f32(bits: int) -> float:
    """The FP32 number of 32 bits."""
    return float(struct.unpack("<f", bits.to_bytes(4, "little"))[0])


def f64(bits: int) -> float:
    """The FP64 number of 64 bits."""
    return float(struct.unpack("<d", bits.to_bytes(8, "little"))[0])


def b32(value: float) -> int:
    """Bits of a number rounded to FP32; not a number is all ones but the sign, as GPUs write it."""
    if math.isnan(value):
        return 0x7FFFFFFF
    try:
        return int.from_bytes(struct.pack("<f", value), "little")
    except OverflowError:
        return 0x7F800000 if value > 0 else 0xFF800000


def b64(value: float) -> int:
    """Bits of an FP64 number."""
    return int.from_bytes(struct.pack("<d", value), "little")


def halves(step: Callable[[float, float, float], float]) -> Step:
    """A step on both FP16 halves of a register, each result rounded once."""

    def both(x: int, a: int, b: int) -> int:
        low, high = (f16(step(*(f16_value(v >> shift) for v in (x, a, b)))) for shift in (0, 16))
        return high << 16 | low

    return both


def bf16_halves(step: Callable[[float, float, float], float]) -> Step:
    """A step on both BF16 halves of a register."""

    def both(x: int, a: int, b: int) -> int:
        low = bf16(step(*(float(f32(v << 16 & M32)) for v in (x, a, b))))
        high = bf16(step(*(float(f32(v & 0xFFFF0000)) for v in (x, a, b))))
        return high << 16 | low

    return both


def bf16(value: float) -> int:
    """Bits of ``value`` rounded to BF16, ties to even."""
    bits = b32(value)
    return (bits + 0x7FFF + (bits >> 16 & 1)) >> 16 & 0xFFFF


def f16(value: float) -> int:
    """Bits of ``value`` rounded to FP16, ties to even."""
    with np.errstate(over="ignore"):
        return int(np.float16(value).view(np.uint16))


def f16_value(bits: int) -> float:
    """The number behind 16 bits."""
    return float(np.uint16(bits & 0xFFFF).view(np.float16))


def signed(bits: int, width: int = 32) -> int:
    """Two's complement."""
    return bits - (1 << width) if bits >> (width - 1) & 1 else bits


def s16x2(step: Callable[[int, int, int], int]) -> Step:
    """A step on both signed 16-bit halves, wrapping."""

    def both(x: int, a: int, b: int) -> int:
        low = step(*(signed(v & 0xFFFF, 16) for v in (x, a, b))) & 0xFFFF
        high = step(*(signed(v >> 16, 16) for v in (x, a, b))) & 0xFFFF
        return high << 16 | low

    return both


def s32(step: Callable[[int, int, int], int]) -> Step:
    """A step on signed 32-bit integers."""
    return lambda x, a, b: step(signed(x), signed(a), signed(b)) & M32


def permute(x: int, a: int, selector: int) -> int:
    """PRMT: each nibble of ``selector`` picks a byte of {a, x} (no sign mode)."""
    both = a << 32 | x
    return sum((both >> 8 * (selector >> 4 * i & 7) & 0xFF) << 8 * i for i in range(4))


def lop3(x: int, a: int, b: int) -> int:
    """LOP3 with table 0x3a: not x where a, b where not x: bitwise ``(x & ~a) | (~x & b)``."""
    return (x & ~a | ~x & b) & M32


def dp4a(x: int, a: int, b: int) -> int:
    """Four byte products and a sum."""
    return sum((x >> 8 * i & 0xFF) * (a >> 8 * i & 0xFF) for i in range(4)) + b & M32


def flo(x: int, _a: int, _b: int) -> int:
    """Place of the highest bit, all ones for 0."""
    return x.bit_length() - 1 & M32


def brev(x: int, _a: int, _b: int) -> int:
    """Bits in reverse order."""
    return int(f"{x:032b}"[::-1], 2)


def exp2(x: float) -> float:
    """Two to the x, infinite where FP64 cannot hold it."""
    return 2.0**x if x < 1024 else math.inf


def log2(x: float) -> float:
    """Binary logarithm: minus infinity at 0, not a number below."""
    return math.log2(x) if x > 0 else -math.inf if x == 0 else math.nan


def unary(function: Callable[[float], float]) -> Step:
    """A step on one FP32 number, computed in FP64."""
    return lambda x, a, b: b32(function(f32(x)))


def float_step(function: Callable[[float, float, float], float]) -> Step:
    """A step of one operation on FP32 numbers: what FP64 gives, rounded once more, is the FP32 result."""
    return lambda x, a, b: b32(function(f32(x), f32(a), f32(b)))


def double_step(function: Callable[[float, float, float], float]) -> Step:
    """A step on FP64 numbers."""
    return lambda x, a, b: b64(function(f64(x), f64(a), f64(b)))


def float8(value: float, exponent_bits: int) -> int:
    """Bits of a finite ``value`` in E4M3 or E5M2 (``exponent_bits`` 4 or 5): nearest even, saturating."""
    mantissa, bias = 7 - exponent_bits, (1 << exponent_bits - 1) - 1
    largest = 448.0 if exponent_bits == 4 else 57344.0
    size = min(abs(value), largest)
    exponent = max(int(np.floor(np.log2(size))) if size else -99, 1 - bias)
    steps = round(size / 2.0 ** (exponent - mantissa))
    bits = (exponent + bias - 1 << mantissa) + steps
    return bits | (0x80 if np.signbit(value) else 0)


def float8_value(bits: int, exponent_bits: int) -> float:
    """The number behind 8 bits of E4M3 or E5M2 that is neither infinite nor NaN."""
    mantissa, bias = 7 - exponent_bits, (1 << exponent_bits - 1) - 1
    field, rest = bits >> mantissa & (1 << exponent_bits) - 1, bits & (1 << mantissa) - 1
    value = (rest + (1 << mantissa if field else 0)) * 2.0 ** (max(field, 1) - bias - mantissa)
    return -value if bits & 0x80 else value


def unpack8(exponent_bits: int) -> Step:
    """Two FP8 numbers in the low half to two FP16 numbers."""
    return lambda x, a, b: (
        f16(float8_value(x >> 8 & 0xFF, exponent_bits)) << 16 | f16(float8_value(x & 0xFF, exponent_bits))
    )


def pack8(exponent_bits: int) -> Step:
    """Two FP32 numbers, a and x, to two FP8 numbers, in both halves."""
    return lambda x, a, b: (float8(f32(a), exponent_bits) << 8 | float8(f32(x), exponent_bits)) * 0x10001


def narrow8(exponent_bits: int) -> Step:
    """Two FP16 numbers to two FP8 numbers, in both halves."""

    def step(x: int, _a: int, _b: int) -> int:
        low, high = (float8(f16_value(x >> shift), exponent_bits) for shift in (0, 16))
        return (high << 8 | low) * 0x10001

    return step


@cache
def outcome(link: Link, steps: int) -> tuple[int, int]:
    """Bits after ``steps`` links, and the sum of every link's operand (its high word) and 1, modulo 2**32.

    An orbit that closes early is not walked to its end.
    """
    x, a, b = link.start
    total, done = 0, 0
    seen: dict[int, tuple[int, int]] = {}
    with np.errstate(all="ignore"):
        while done < steps:
            if x in seen:
                before, part = seen.pop(x)
                laps = (steps - done) // (done - before)
                total += laps * (total - part)
                done += laps * (done - before)
                seen.clear()
                continue
            if done < _LONGEST_ORBIT:
                seen[x] = done, total
            total += (x >> 32 if link.wide else x) + 1
            x = link.step(x, a, b)
            done += 1
    return x, total & M32


def sum_beside(link: Link, steps: int) -> int:
    """The sum that the kernel keeps beside ``steps`` links, 0 where it keeps none."""
    return outcome(link, steps)[1] if link.sums == "counted" else 0
