"""Opcode knowledge of the gate: patterns, execution pipes and register moves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cache

from gpuprobe.sass import Instruction

_PIPES: Mapping[str, str] = {
    "fma": "FFMA FADD FMUL FFMA2 FADD2 FMUL2 IMAD IDP HFMA2 HADD2 HMUL2",
    "fp64": "DFMA DADD DMUL DSETP DMNMX",
    "alu": "IADD IADD3 VIADD LOP3 SHF LEA ISETP FSETP HSETP2 PRMT SEL FSEL FMNMX FMNMX3 HMNMX2 IMNMX VIMNMX VIMNMX3 "
    "VIMNMX2 VHMNMX VIADDMNMX PLOP3 ISCADD IABS BMSK SGXT VABSDIFF VABSDIFF4 I2FP F2FP FCHK",
    "xu": "MUFU F2F I2F F2I FRND POPC FLO BREV I2I",
    "tensor": "HMMA IMMA QMMA BMMA DMMA OMMA HGMMA IGMMA QGMMA BGMMA UTCHMMA UTCIMMA UTCQMMA UTCOMMA",
    "lsu": "LD LDG LDS LDL ST STG STS STL ATOM ATOMG ATOMS RED REDG LDSM STSM SHFL LDGSTS",
}
_PIPE_OF = {stem: pipe for pipe, stems in _PIPES.items() for stem in stems.split()}
_ARITHMETIC = frozenset({"fma", "fp64", "alu", "xu", "tensor"})
_MOVES_BY_ZERO = frozenset({"IMAD", "HFMA2", "IADD3"})


@cache
def matches(opcode: str, pattern: str) -> bool:
    """Whether ``pattern`` is ``opcode`` or its first dot-components: LDG fits LDG.E.64, IADD3 does not fit IADD32I.

    ``IMNMX|VIMNMX`` fits either: the names of one instruction on several architectures.
    """
    return any(opcode == name or opcode.startswith(name + ".") for name in pattern.split("|"))


def matches_any(opcode: str, patterns: Iterable[str]) -> bool:
    """Whether one of ``patterns`` fits ``opcode``."""
    return any(matches(opcode, pattern) for pattern in patterns)


def is_move(instruction: Instruction) -> bool:
    """A register move or constant, also in the guise of IMAD.MOV, of a multiply by RZ or of HFMA2 with RZ."""
    stem, *parts = instruction.opcode.split(".")
    if stem in {"MOV", "UMOV"} or "MOV" in parts or "SRZ" in instruction.operands:
        return True
    zeros = [operand.lstrip("-") for operand in instruction.operands[1:3]]
    return stem in _MOVES_BY_ZERO and zeros == ["RZ", "RZ"]


def pipe(opcode: str) -> str:
    """Execution pipe of ``opcode`` as Nsight Compute names them (HFMA2 with fma), "" where it is of no interest.

    Of a pattern with alternatives, that of the first.
    """
    return _PIPE_OF.get(opcode.partition("|")[0].partition(".")[0], "")


def is_arithmetic(instruction: Instruction) -> bool:
    """Whether the instruction computes on data: no move, no memory access, no control."""
    return pipe(instruction.opcode) in _ARITHMETIC and not is_move(instruction)


def listed(opcodes: Iterable[str]) -> str:
    """Opcodes with their counts, most frequent first: ``64 FADD, 32 F2FP.F16.E4M3.UNPACK_B``."""
    return ", ".join(f"{count} {opcode}" for opcode, count in Counter(opcodes).most_common(6))
