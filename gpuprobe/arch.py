"""One row per compute capability: what an SM can do per clock, what it holds, and which instructions are native.

Rates are results per clock per SM; sizes are bytes. Resident limits follow NVIDIA's ``cuda::arch_traits`` (CCCL) and
the CUDA C++ Programming Guide; tensor rates follow the architecture whitepapers and are dense. The native instructions
in ``features`` were read from cubins built with NVRTC 13.5 for each target: a type whose ``mma.sync`` compiles to
another pipe or to a called subroutine is not native.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType

from gpuprobe.errors import GpuprobeError

KIB = 1024

# Operand types of tensor instructions, by their PTX names.
TENSOR_TYPES = ("f16", "bf16", "tf32", "f64", "s8", "s4", "b1", "e4m3", "e5m2", "e2m1")

_GUIDE = "CUDA C++ Programming Guide 13, compute capabilities and arithmetic throughput tables; CCCL arch_traits.h"
_ASYNC = frozenset({"cp_async", "ldmatrix", "redux", "bf16_mma", "tf32_mma", "f64_mma_native", "int8_mma_native"})
_INT4 = frozenset({"int4_mma_native", "b1_mma_native"})
_TMA = frozenset({"tma", "cluster", "dsm", "stmatrix", "setmaxnreg", "elect"})


@dataclass(frozen=True)
class Architecture:
    """What one SM of a compute capability does per clock and holds; None where NVIDIA publishes no figure.

    ``tensor_fma`` maps an operand type to dense multiply-adds per clock per SM through ``tensor_instruction``
    (``mma.sync`` for f64). A type is absent where it has no native tensor instruction or where no rate is published.
    Products may be held to a fraction of it: see ``device.tensor_fma``.
    """

    name: str
    target: str
    generation: str
    fp32_fma: int
    fp64_fma: int
    fp16_fma: int | None
    int32_add: int | None
    int32_mad: int | None
    mufu: int
    ld_st: int | None
    tensor_instruction: str
    tensor_fma: Mapping[str, int] = field(hash=False)
    l1_and_shared_bytes: int
    shared_bytes_per_sm: int
    shared_bytes_per_block: int
    threads_per_sm: int
    blocks_per_sm: int
    features: frozenset[str]
    source: str
    l1_bytes_per_clock: int = 128
    shared_bytes_per_clock: int = 128
    registers_per_sm: int = 65536
    registers_per_thread: int = 255
    threads_per_block: int = 1024
    schedulers: int = 4

    @property
    def warps_per_sm(self) -> int:
        """Resident warps per SM."""
        return self.threads_per_sm // 32

    @property
    def number(self) -> int:
        """Compute capability as an ordering number: 90 for ``sm_90``, 120 for ``sm_120``."""
        return int(self.name.removeprefix("sm_"))


def _tensor(**rates: int) -> Mapping[str, int]:
    return MappingProxyType(rates)


_ROWS = (
    Architecture(
        name="sm_80",
        target="sm_80",
        generation="Ampere",
        fp32_fma=64,
        fp64_fma=32,
        fp16_fma=256,
        int32_add=64,
        int32_mad=64,
        mufu=16,
        ld_st=32,
        tensor_instruction="mma.sync",
        tensor_fma=_tensor(f16=1024, bf16=1024, tf32=512, f64=64, s8=2048, s4=4096, b1=16384),
        l1_and_shared_bytes=192 * KIB,
        shared_bytes_per_sm=164 * KIB,
        shared_bytes_per_block=163 * KIB,
        threads_per_sm=2048,
        blocks_per_sm=32,
        features=_ASYNC | _INT4,
        source=f"{_GUIDE}; NVIDIA A100 Tensor Core GPU Architecture whitepaper V1.0",
    ),
    Architecture(
        name="sm_86",
        target="sm_86",
        generation="Ampere",
        fp32_fma=128,
        fp64_fma=2,
        fp16_fma=128,
        int32_add=64,
        int32_mad=64,
        mufu=16,
        ld_st=16,
        tensor_instruction="mma.sync",
        tensor_fma=_tensor(f16=512, bf16=512, tf32=256, s8=1024, s4=2048),
        l1_and_shared_bytes=128 * KIB,
        shared_bytes_per_sm=100 * KIB,
        shared_bytes_per_block=99 * KIB,
        threads_per_sm=1536,
        blocks_per_sm=16,
        features=_ASYNC | _INT4,
        source=f"{_GUIDE}; NVIDIA Ampere GA102 GPU Architecture whitepaper V2",
    ),
    Architecture(
        name="sm_87",
        target="sm_87",
        generation="Ampere",
        fp32_fma=128,
        fp64_fma=2,
        fp16_fma=None,
        int32_add=64,
        int32_mad=64,
        mufu=16,
        ld_st=None,
        tensor_instruction="mma.sync",
        # From 85 (f16) and 170 (s8) T/s with sparsity, 16 SMs, 1.3 GHz; the brief states no other type.
        tensor_fma=_tensor(f16=1024, s8=2048),
        l1_and_shared_bytes=192 * KIB,
        shared_bytes_per_sm=164 * KIB,
        shared_bytes_per_block=163 * KIB,
        threads_per_sm=1536,
        blocks_per_sm=16,
        features=_ASYNC | _INT4,
        source=f"{_GUIDE}; NVIDIA Jetson AGX Orin Series Technical Brief v1.2",
    ),
    Architecture(
        name="sm_89",
        target="sm_89",
        generation="Ada",
        fp32_fma=128,
        fp64_fma=2,
        fp16_fma=128,
        int32_add=64,
        int32_mad=64,
        mufu=16,
        ld_st=16,
        tensor_instruction="mma.sync",
        tensor_fma=_tensor(f16=512, bf16=512, tf32=256, s8=1024, s4=2048, e4m3=1024, e5m2=1024),
        l1_and_shared_bytes=128 * KIB,
        shared_bytes_per_sm=100 * KIB,
        shared_bytes_per_block=99 * KIB,
        threads_per_sm=1536,
        blocks_per_sm=24,
        features=_ASYNC | _INT4 | {"fp8_mma_native"},
        source=f"{_GUIDE}; NVIDIA Ada GPU Architecture whitepaper V2.01",
    ),
    Architecture(
        name="sm_90",
        target="sm_90a",
        generation="Hopper",
        fp32_fma=128,
        fp64_fma=64,
        fp16_fma=256,
        int32_add=64,
        int32_mad=64,
        mufu=16,
        ld_st=32,
        tensor_instruction="wgmma",
        tensor_fma=_tensor(f16=2048, bf16=2048, tf32=1024, f64=128, s8=4096, e4m3=4096, e5m2=4096),
        l1_and_shared_bytes=256 * KIB,
        shared_bytes_per_sm=228 * KIB,
        shared_bytes_per_block=227 * KIB,
        threads_per_sm=2048,
        blocks_per_sm=32,
        features=_ASYNC | _TMA | {"wgmma", "dpx", "b1_mma_native"},
        source=f"{_GUIDE}; NVIDIA H100 Tensor Core GPU Architecture whitepaper V1.04",
    ),
    Architecture(
        name="sm_100",
        target="sm_100a",
        generation="Blackwell",
        fp32_fma=128,
        fp64_fma=64,
        fp16_fma=256,
        int32_add=None,
        int32_mad=None,
        mufu=16,
        ld_st=None,
        tensor_instruction="tcgen05.mma",
        tensor_fma=_tensor(f16=4096, bf16=4096, tf32=2048, f64=64, s8=8192, e4m3=8192, e5m2=8192, e2m1=16384),
        l1_and_shared_bytes=256 * KIB,
        shared_bytes_per_sm=228 * KIB,
        shared_bytes_per_block=227 * KIB,
        threads_per_sm=2048,
        blocks_per_sm=32,
        features=_ASYNC | _TMA | {"tcgen05", "dpx"},
        # Tensor rates: the powers of two that give the HGX B200 figures on 148 SMs, all at one clock, 1.86 GHz.
        source=f"{_GUIDE}; NVIDIA Blackwell Tuning Guide 13; NVIDIA HGX B200 specifications",
    ),
    Architecture(
        name="sm_120",
        target="sm_120a",
        generation="Blackwell",
        fp32_fma=128,
        fp64_fma=2,
        fp16_fma=128,
        int32_add=128,
        int32_mad=64,
        mufu=16,
        ld_st=None,
        tensor_instruction="mma.sync",
        tensor_fma=_tensor(f16=512, bf16=512, tf32=256, s8=1024, e4m3=1024, e5m2=1024, e2m1=2048),
        l1_and_shared_bytes=128 * KIB,
        shared_bytes_per_sm=100 * KIB,
        shared_bytes_per_block=99 * KIB,
        threads_per_sm=1536,
        blocks_per_sm=24,
        # DPX intrinsics are two instructions here (VIADD, VIMNMX), so not listed.
        features=_ASYNC | _TMA | {"fp8_mma_native", "fp4_mma_native"},
        source=f"{_GUIDE}; NVIDIA RTX Blackwell GPU Architecture whitepaper V1.1",
    ),
)

ARCHITECTURES: Mapping[str, Architecture] = MappingProxyType({row.name: row for row in _ROWS})

_NAME = re.compile(r"(?:sm_?|compute_?)?(\d{2,3}|\d{1,2}\.\d)(a?)", re.ASCII)


def parse(text: str) -> Architecture:
    """The architecture named ``sm90``, ``sm_90``, ``90``, ``9.0``, ``sm_90a`` or ``hopper``, else GpuprobeError."""
    name = text.strip().lower()
    found = _by_number(name) or _by_generation(name)
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(row.name for row in found)
        raise GpuprobeError(f"architecture '{text}' is ambiguous: {names}", f"name one of {names}")
    raise GpuprobeError(f"unknown architecture '{text}'", f"known: {', '.join(ARCHITECTURES)}")


def _by_number(name: str) -> list[Architecture]:
    match = _NAME.fullmatch(name)
    row = ARCHITECTURES.get(f"sm_{match[1].replace('.', '')}") if match else None
    if match is None or row is None or (match[2] and not row.target.endswith(match[2])):
        return []
    return [row]


def _by_generation(name: str) -> list[Architecture]:
    return [row for row in _ROWS if row.generation.lower() == name]


_Test = Callable[[int, int], bool]
_OPERATORS: Mapping[str, _Test] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
    "": operator.eq,
}
_TERM = re.compile(r"(>=|<=|==|!=|>|<|)\s*sm_?(\d{2,3})(a?)", re.ASCII)


def matches(spec: str, architecture: Architecture) -> bool:
    """Whether ``architecture`` satisfies a probe's declaration; GpuprobeError where the declaration is malformed.

    Grammar: ``spec = range {("," | "|") range}``, ``range = term {"&" term}``,
    ``term = [operator] "sm_" number ["a"]``, operators ``>= <= == != > <``, none meaning ``==``. So ``,`` and ``|``
    both mean *or* and ``&`` means *and*, binding tighter: ``sm_80,sm_86``, ``sm_89|>=sm_120``, ``>=sm_80&<sm_90``.
    Order is that of the compute capability. An equality must name a known architecture; an inequality may name any
    (``>=sm_75``). The suffix ``a`` goes with equality only, since architecture-specific instructions are not carried
    over to later architectures.
    """
    return any(
        all(test(architecture.number, number) for test, number in conditions) for conditions in _alternatives(spec)
    )


@cache
def _alternatives(spec: str) -> tuple[tuple[tuple[_Test, int], ...], ...]:
    """The whole declaration parsed, so that an error in any part is reported whatever the architecture."""
    ranges = re.split(r"[,|]", spec)
    return tuple(tuple(_condition(term.strip(), spec) for term in part.split("&")) for part in ranges)


def _condition(term: str, spec: str) -> tuple[_Test, int]:
    match = _TERM.fullmatch(term)
    if match is None:
        raise _bad_spec(spec, f"cannot read '{term}'" if term else "a term is missing")
    sign, number, suffix = match.groups()
    if sign in ("", "==", "!="):
        row = ARCHITECTURES.get(f"sm_{number}")
        if row is None or (suffix and not row.target.endswith(suffix)):
            raise _bad_spec(spec, f"'sm_{number}{suffix}' is not a known architecture ({', '.join(ARCHITECTURES)})")
    elif suffix:
        raise _bad_spec(spec, f"'{term}' orders an architecture-specific target")
    return _OPERATORS[sign], int(number)


def _bad_spec(spec: str, why: str) -> GpuprobeError:
    return GpuprobeError(
        f"bad architecture declaration '{spec}': {why}", "write e.g. '>=sm_80', 'sm_80,sm_86', '>=sm_80&<sm_90'"
    )
