"""What the wgmma probes compute and how much of it: host twin of ``microbench/tensor/wgmma.cu``."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gpuprobe import device as catalogue
from gpuprobe.arch import Architecture
from gpuprobe.estimate import Estimate, Point, Round
from gpuprobe.gate import Expect
from gpuprobe.operands import expect_close, floats, operand, rounded, words
from gpuprobe.probe import Launch, Probe, Published, sm_count
from gpuprobe.record import DeviceSpec, Params

M = 64
TYPES = ("F16", "F16_F16", "BF16", "TF32", "E4M3", "E4M3_F16", "E5M2", "S8")
"""Operands and, where it is not FP32 (S32 for S8), the accumulator; MIXED has another type for A than for B."""

MIXED = "E4M3_E5M2"

KINDS = ("F16", "BF16", "TF32", "E4M3", "E5M2", "S8")
"""Those with an accumulator of 32 bits."""

WIDTHS = (8, 16, 32, 64, 128, 256)
"""N at which rates and latencies are measured, of those that there are (multiples of 8; of 16 from 32 on for S8)."""

ELEMENT_BYTES = {"F16": 2, "F16_F16": 2, "BF16": 2, "TF32": 4}
NARROW = frozenset({"F16_F16", "E4M3", "E4M3_F16", "E5M2", MIXED})
"""Accumulators that soon stop growing: the kernel starts them at zero with every batch."""

TOLERANCE = {"F16": 0.02, "BF16": 0.02, "TF32": 0.02, **dict.fromkeys(NARROW, 0.01)}
MANTISSA = {"E4M3": (3, -6, 448.0), "E5M2": (2, -14, 57344.0)}
_SUFFIX = {
    "F16": "F32",
    "F16_F16": "F16",
    "BF16": "F32.BF16",
    "TF32": "F32.TF32",
    "E4M3": "F32.E4M3.E4M3",
    "E4M3_F16": "F16.E4M3.E4M3",
    "E5M2": "F32.E5M2.E5M2",
    MIXED: "F32.E4M3.E5M2",
    "S8": "S8.S8",
}


@dataclass(frozen=True)
class Instruction:
    """One wgmma: operand type, columns ``n``, and whether A is 2:4 sparse."""

    kind: str
    n: int = 256
    sparse: bool = False

    @property
    def operand_kinds(self) -> tuple[str, str]:
        """Types of A and B."""
        kinds = self.kind.removesuffix("_F16").split("_")
        return kinds[0], kinds[-1]

    @property
    def element_bytes(self) -> int:
        """Size of an operand element."""
        return ELEMENT_BYTES.get(self.kind, 1)

    @property
    def k(self) -> int:
        """Elements along k, those that A leaves out included."""
        return (64 if self.sparse else 32) // self.element_bytes

    @property
    def fma(self) -> int:
        """Multiply-adds, counted as if A were dense."""
        return M * self.n * self.k

    @property
    def opcode(self) -> str:
        """The SASS opcode on sm_90a."""
        stem = "IGMMA" if self.kind == "S8" else "QGMMA" if self.element_bytes == 1 else "HGMMA"
        return f"{stem}{'.SP' if self.sparse else ''}.{M}x{self.n}x{self.k}.{_SUFFIX[self.kind]}"

    @property
    def slices(self) -> int:
        """Slices of k that the kernel walks through."""
        return 2 if self.sparse else 4


def quantised(values: NDArray[np.float32], kind: str) -> NDArray[np.float64]:
    """``values`` as the operand type ``kind`` holds them; S8 takes 32 times the value, cut towards zero."""
    if kind == "S8":
        whole: NDArray[np.float64] = np.trunc(values.astype(np.float64) * 32.0)
        return whole
    if kind == "TF32":  # operand() needs 10 bits: exact
        return values.astype(np.float64)
    if kind in MANTISSA:
        return _small_float(values.astype(np.float64), *MANTISSA[kind])
    return rounded(values, kind)


def _small_float(values: NDArray[np.float64], mantissa: int, least: int, largest: float) -> NDArray[np.float64]:
    """Nearest even with ``mantissa`` bits, exponents from ``least`` on, saturating."""
    _, exponent = np.frexp(values)
    step = np.ldexp(1.0, np.maximum(exponent - 1, least) - mantissa)
    nearest: NDArray[np.float64] = np.clip(np.round(values / step) * step, -largest, largest)
    return nearest


def product(instruction: Instruction, seed: int) -> NDArray[np.float64]:
    """A x B over all slices, 64 x n."""
    stored = instruction.slices * 32 // instruction.element_bytes
    long = instruction.slices * instruction.k
    left, right = instruction.operand_kinds
    a = quantised(operand(np.arange(M * stored, dtype=np.uint32), seed), left).reshape(M, stored)
    first = np.uint32(M * stored)
    b = quantised(operand(np.arange(instruction.n * long, dtype=np.uint32) + first, seed), right)
    result: NDArray[np.float64] = a @ b.reshape(instruction.n, long)[:, _kept(instruction, long)].T
    return result


def _kept(instruction: Instruction, length: int) -> NDArray[np.bool_]:
    """Which k meet a stored element of A: of four the second and the fourth, of two (TF32) the second."""
    return np.arange(length) % 2 == 1 if instruction.sparse else np.ones(length, dtype=np.bool_)


def thread_results(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """What each thread of a warpgroup stores of D: elements 0, 1, the last but one, the sum of all; 128 x 4."""
    thread = np.arange(128)
    row, column = thread // 32 * 16 + thread % 32 // 4, thread % 4 * 2
    last = matrix.shape[1] - 8
    sums = matrix.reshape(M, -1, 4, 2).sum(axis=(1, 3))
    return np.stack(
        [
            matrix[row, column],
            matrix[row, column + 1],
            matrix[row + 8, last + column],
            sums[row, thread % 4] + sums[row + 8, thread % 4],
        ],
        axis=1,
    )


def instruction_of(params: Params) -> Instruction:
    """The instruction of a set of parameters: m64n256 and dense where they do not say."""
    return Instruction(str(params["TYPE"]), int(params.get("N", 256)), params.get("SPARSE", 0) == 1)


def check(point: Point, seed: int, out: bytes) -> str | None:
    """Reason where a warpgroup differs from the first, or the first from the host; None where all is right."""
    instruction = instruction_of(dict(point.params))
    kind, chain = instruction.kind, int(point.number("CHAIN"))
    fresh = kind in NARROW or dict(point.params).get("FRESH") == 1
    groups = words(out)[: point.grid * point.block * 4].reshape(-1, 128, 4)
    if (groups != groups[0]).any():
        odd = int(np.flatnonzero((groups != groups[0]).any(axis=(1, 2)))[0])
        return f"warpgroup {odd} computed something else than the first from the same operands"
    turns = (1 if fresh else point.iters) * (chain // instruction.slices)
    wanted = thread_results(product(instruction, seed)) * turns
    if kind == "S8":
        modulus = np.mod(wanted, 2.0**32).astype(np.uint64).astype(np.uint32)
        wrong = np.argwhere(groups[0] != modulus)
        return f"thread {wrong[0][0]} computed a wrong integer (result {wrong[0][1]})" if wrong.size else None
    found = floats(out)[: 128 * 4].reshape(128, 4)
    return expect_close(found[:, :3], wanted[:, :3], TOLERANCE[kind]) or expect_close(
        found[:, 3:], wanted[:, 3:], 2 * TOLERANCE[kind]
    )


def per_sm(point: Point) -> float:
    """Multiply-adds of one SM in one sample (2:4 counted as dense)."""
    warpgroups = point.block // 128
    return float(point.iters * int(point.number("CHAIN")) * warpgroups * instruction_of(dict(point.params)).fma)


def flop(point: Point) -> float:
    """Floating-point (or integer) operations of the whole GPU in one sample, 2 a multiply-add (2:4 as dense)."""
    return 2.0 * per_sm(point) * point.grid


def bound(estimate: Estimate, device: DeviceSpec, architecture: Architecture, clock_hz: float | None) -> float | None:
    """The tensor rate: FMA per cycle of an SM, or FLOP/s at the measured clock; twice as much for 2:4 sparse A."""
    kind = instruction_of(estimate.params).operand_kinds[0]
    dense = catalogue.tensor_fma(device, kind.lower())
    if dense is None:
        return None
    limit = dense * (2.0 if estimate.params.get("SPARSE") == 1 else 1.0)
    if estimate.unit == "FMA/cycle/SM":
        return limit
    return 2.0 * limit * device["sm_count"] * clock_hz if clock_hz else None


def expect(params: Params) -> Expect:
    """One loop with CHAIN instructions of this type and shape."""
    opcode = instruction_of(params).opcode
    return Expect(loop=True, counts={opcode: int(params["CHAIN"])}, native=(opcode,))


def throughput(round_: Round) -> list[Estimate]:
    """FLOP/s of each sample as it stands: for kernels so long that their start does not matter."""
    return [
        Estimate("throughput", dict(point.params), "FLOP/s", flop(point) / sample.seconds, sample)
        for point, sample in round_.items()
        if sample.seconds > 0
    ]


def sustained(name: str, kind: str, operands: str, published_flops: float, *, width: float, noise: float) -> Probe:
    """Probe of the settled rate: eight launches of 0.3 s back to back, beside a published value in FLOP/s.

    ``width`` from which on a value is called unstable, ``noise`` from run to run (both relative).
    """
    return Probe(
        name=name,
        unit="FLOP/s",
        quantity="throughput",
        archs="==sm_90",
        kernel="wgmma",
        defines={"TYPE": [kind], "CHAIN": [16], "FRESH": [1]},
        axes={"OPERANDS": [operands]},
        quick={"OPERANDS": []},
        launch=Launch(grid=sm_count, block=256, iters=128000),
        expect=expect,
        estimate=throughput,
        bound=bound,
        check=check,
        prologue=True,
        rounds=8,
        width=width,
        out_words=1 << 18,
        noise={"throughput": noise},
        covers=(4, 47, 49),
        published=[
            Published(
                "h100-sxm",
                published_flops,
                "Johnsonms/NVIDIA-Hopper-Benchmark, reproduction/H100-dapperdingo/raw",
                {"OPERANDS": operands},
                "throughput",
                "FLOP/s",
                method="whole GPU, clock, power and length of the run not stated",
                tolerance=0.05,
            )
        ],
    )
