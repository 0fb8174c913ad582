"""What the numerics probes make of a sample: findings, the model fitted to them, and how many vectors obey it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from gpuprobe.errors import GpuprobeError
from gpuprobe.estimate import Estimate, Point, Round
from gpuprobe.numerics.fit import Findings, findings
from gpuprobe.numerics.formats import Bits
from gpuprobe.numerics.vectors import (
    COLUMNS,
    DESIGNED,
    OPERANDS,
    ROWS,
    Operands,
    Vectors,
    designed_vectors,
    random_vectors,
)

UNITS = {"fraction_bits": "bit", "addend_bits": "bit", "result_bits": "bit", "group": "product", "exact": "vector"}


@dataclass(frozen=True)
class Results:
    """What a kernel stored: bits of the designed tiles (vectors x columns) and of the random ones, and its seed."""

    designed: Bits
    random: Bits
    seed: int


def results(out: bytes, tiles: int, operands: Operands) -> Results:
    """The kernel's ``out`` taken apart; ``tiles`` random ones follow the designed ones."""
    wide = operands.addend.exponent_bits == 11
    count = (DESIGNED + tiles) * ROWS * COLUMNS
    values = np.frombuffer(out, dtype=np.uint64 if wide else np.uint32, count=count).astype(np.uint64)
    (seed,) = np.frombuffer(out, dtype=np.uint32, count=1, offset=count * (8 if wide else 4))
    border = DESIGNED * ROWS * COLUMNS
    return Results(values[:border].reshape(-1, COLUMNS), values[border:], int(seed))


@dataclass(frozen=True)
class Comparison:
    """Findings, and which vectors (designed, then random) the model made of them does not give bit for bit."""

    findings: Findings
    wanted: Bits
    found: Bits

    @property
    def wrong(self) -> list[int]:
        """Places of the vectors whose bits differ."""
        return [int(place) for place in np.flatnonzero(self.wanted != self.found)]


def compared(designed: Bits, random: Bits, operands: Operands, seed: int) -> Comparison:
    """The model fitted to the results of the designed vectors, against these and those of the random ones."""
    fitted = findings(designed, operands)
    one, other = designed_vectors(operands), random_vectors(operands, seed, len(random) // (ROWS * COLUMNS))
    vectors = Vectors(*(np.concatenate(pair) for pair in ((one.a, other.a), (one.b, other.b), (one.c, other.c))))
    wanted = fitted.model().results(vectors, operands)
    return Comparison(fitted, wanted, np.concatenate([designed, random]))


@lru_cache(maxsize=1)
def _of(kind: str, tiles: int, out: bytes) -> Comparison:
    """The comparison of a sample, which its check and its findings share."""
    held = results(out, tiles, OPERANDS[kind])
    return compared(held.designed[:, 0], held.random, OPERANDS[kind], held.seed)


def check(point: Point, seed: int, out: bytes) -> str | None:
    """Reason where the results are not those of any model: another seed, unlike columns, or a vector that strays."""
    operands = OPERANDS[str(point["TYPE"])]
    held = results(out, point.iters, operands)
    if held.seed != seed:
        return f"the kernel's operands are those of seed {held.seed}, not of {seed}"
    if (held.designed != held.designed[:, :1]).any():
        return "columns with the same operands have different results"
    try:
        comparison = _of(str(point["TYPE"]), point.iters, out)
    except GpuprobeError as error:
        return error.message
    if wrong := comparison.wrong:
        first, width = wrong[0], (operands.addend.exponent_bits + operands.addend.mantissa_bits + 4) // 4
        found, wanted = (f"0x{int(bits[first]):0{width}x}" for bits in (comparison.found, comparison.wanted))
        return (
            f"{len(wrong)} of {len(comparison.found)} vectors are not what the fitted model gives: "
            f"the first, {first}, is {found} instead of {wanted}"
        )
    return None


def reduce(point: Point, out: bytes) -> Mapping[str, float]:
    """Findings of a sample, and the number of vectors that the model gives bit for bit; empty where there are none."""
    try:
        comparison = _of(str(point["TYPE"]), point.iters, out)
    except GpuprobeError:
        return {}
    fitted = comparison.findings
    return {
        "fraction_bits": float(fitted.fraction_bits),
        "addend_bits": float(fitted.addend_bits),
        "result_bits": float(fitted.result_bits),
        "group": float(fitted.group),
        "exact": float(len(comparison.found) - len(comparison.wrong)),
    }


def estimate(round_: Round) -> list[Estimate]:
    """The findings of each sample that has any."""
    return [
        Estimate(quantity, dict(point.params), unit, sample.values[quantity], sample)
        for point, sample in round_.items()
        for quantity, unit in UNITS.items()
        if quantity in sample.values
    ]
