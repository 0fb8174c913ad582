"""Which registers a SASS instruction reads and writes, from its opcode and operand text (sm_75 and later)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

_PREDICATE = re.compile(r"U?P(?:\d|T)")
_REGISTER = re.compile(r"U?R(?:\d+|Z)(?:\.\w+)*")
_ANY = re.compile(r"\b(U?)(R(\d+)|P(\d))\b(\.64)?")
_WGMMA_SHAPE = re.compile(r"\d+x(\d+)x\d+")
_TILE_ROWS = re.compile(r"x(\d+)")

_PREDICATES_ONLY = ("SETP", "PLOP3", "FCHK", "R2P")
_ONE_PREDICATE = ("VOTE", "VOTEU", "ELECT", "MATCH")
_WITHOUT_RESULT = """
    ST STG STS STL STAS STSM RED REDG BRA BRX BRXU JMP JMX JMXU CALL RET EXIT BAR BSSY BSYNC BREAK WARPSYNC
    DEPBAR LDGDEPBAR LDGSTS MEMBAR ERRBAR FENCE CCTL CCTLL CCTLT NANOSLEEP NOP YIELD KILL BPT ARRIVES
    WARPGROUP UTMASTG UTMALDG UTMAPF UTMAREDG UTMACCTL UTMACMDFLUSH UBLKCP UBLKPF UBLKRED SUST SURED PREEXIT
    ACQBULK UCGABAR_ARV UCGABAR_WAIT USETMAXREG PMTRIG R2B
"""
_NO_RESULT = frozenset(_WITHOUT_RESULT.split())
_PAIRS = frozenset({"DADD", "DMUL", "DFMA", "FADD2", "FMUL2", "FFMA2"})
_MEMORY_WIDTH = {"64": 2, "128": 4, "256": 8}


class Effects(NamedTuple):
    """Registers and predicates ``written`` (result base first) and ``read``; RZ, URZ, PT and UPT left out."""

    written: tuple[str, ...]
    read: tuple[str, ...]


@lru_cache(maxsize=8192)  # an unrolled chain repeats a few instructions
def effects(opcode: str, operands: tuple[str, ...], guard: str | None) -> Effects:
    """Registers one instruction writes and reads.

    The result comes first, predicates may stand before it (``LOP3.LUT P1, RZ, ...``) and carries after it
    (``IADD3 R2, P0, ...``). The width of a vector source is not in the text: its base register stands for it.
    """
    count, register, predicates = _results(opcode, operands)
    written = (*_vector(register, result_registers(opcode)), *predicates)
    read = [name for operand in operands[count:] for name in _named(operand)]
    if guard:
        read += _named(guard)
    return Effects(tuple(dict.fromkeys(written)), tuple(dict.fromkeys(read)))


def _results(opcode: str, operands: tuple[str, ...]) -> tuple[int, str, list[str]]:
    """How many leading operands are results, the result register ("" for none) and the result predicates."""
    stem = opcode.partition(".")[0]
    if stem in _NO_RESULT:
        return 0, "", []
    most = 1 if stem in _ONE_PREDICATE else 2
    leading = _predicates(operands[:most])
    register = operands[len(leading)] if len(leading) < len(operands) else ""
    if any(kind in stem for kind in _PREDICATES_ONLY) or not _REGISTER.fullmatch(register):
        return len(leading), "", _real(leading)
    most = 0 if stem == "ELECT" else most
    following = _predicates(operands[len(leading) + 1 : len(leading) + 1 + most])
    return len(leading) + 1 + len(following), register.partition(".")[0], _real(leading + following)


def _predicates(operands: tuple[str, ...]) -> list[str]:
    found: list[str] = []
    for operand in operands:
        if not _PREDICATE.fullmatch(operand):
            break
        found.append(operand)
    return found


def _real(predicates: list[str]) -> list[str]:
    return [name for name in predicates if not name.endswith("T")]


def _vector(base: str, width: int) -> Iterator[str]:
    if not base or base.endswith("Z"):
        return
    prefix, number = base.rstrip("0123456789"), int(base.lstrip("UR"))
    for index in range(width):
        yield f"{prefix}{number + index}"


def _named(operand: str) -> list[str]:
    """Registers and predicates in one source operand; both halves of a ``.64`` register."""
    found: list[str] = []
    for match in _ANY.finditer(operand):
        prefix, name, number = match[1], match[2], match[3]
        found.append(prefix + name)
        if match[5] and number:
            found.append(f"{prefix}R{int(number) + 1}")
    return found


def result_registers(opcode: str) -> int:
    """Consecutive 32-bit registers the result of ``opcode`` takes: 2 for ``LDG.E.64``, 4 for ``HMMA.16816.F32``."""
    stem, *parts = opcode.split(".")
    if stem in {"HGMMA", "IGMMA", "QGMMA", "BGMMA"}:
        return _wgmma_registers(parts)
    if stem in {"HMMA", "IMMA", "QMMA", "BMMA", "DMMA", "OMMA"}:
        return _mma_registers(stem, parts)
    if stem == "LDSM" and parts[-1].isdigit():
        return int(parts[-1])
    if stem == "LDTM":
        return max((int(match[1]) for part in parts if (match := _TILE_ROWS.fullmatch(part))), default=1)
    pair = stem in _PAIRS or "WIDE" in parts or parts[:1] == ["F64"] or (stem.startswith("CS2") and "32" not in parts)
    return 2 if pair else max((_MEMORY_WIDTH.get(part, 1) for part in parts), default=1)


def _mma_registers(stem: str, parts: list[str]) -> int:
    """Accumulator of one warp-wide MMA: M x N / 32 lanes, N = 8."""
    shape = next((part for part in parts if part[:1].isdigit()), "16816")  # 16816, or 8x8x4
    rows = 16 if shape.startswith("16") else 8
    values = rows * 8 // 32
    if stem == "DMMA":
        return values * 2
    return values if stem in {"IMMA", "BMMA"} or "F32" in parts else max(values // 2, 1)


def _wgmma_registers(parts: list[str]) -> int:
    """Accumulator of one warpgroup MMA: 64 x N / 128 lanes."""
    columns = next((int(match[1]) for part in parts if (match := _WGMMA_SHAPE.fullmatch(part))), 8)
    return max(columns // 4 if "F16" in parts[:2] else columns // 2, 1)
