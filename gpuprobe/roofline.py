"""The hierarchical roofline: what each type of arithmetic can reach over each level of memory, and GEMMs on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from gpuprobe import arch
from gpuprobe.ops.gemm import DTYPES, Gemm
from gpuprobe.profile import DeviceProfile, Value

SCHEMA = 1
LEVELS = (("L1", "read"), ("shared", "read"), ("L2", "read"), ("DRAM", "read"))
DRAWN = ("e4m3", "s8", "f16", "bf16", "tf32", "f64", "fp16", "fp32", "fp64", "int32")
"""Types with a ceiling: what programs are written in; FP16 accumulators, INT4 and single bits are in the profile."""
KINDS = {"bf16": "bf16", "fp16": "f16", "tf32": "tf32", "fp32": "fp32", "fp8": "e4m3", "int8": "s8"}
"""GEMM type → type of the matrix units (fp32 runs on the ordinary cores)."""
TILE, CLUSTER_TILE = (128, 256), (256, 256)
"""Tile of C that loads from L2 are counted for: A once for its columns, B once for its rows. From Hopper on libraries
run clusters of two blocks that share the loads of one operand."""


@dataclass(frozen=True)
class Ceiling:
    """Operations a second of a type."""

    kind: str
    rate: Value


@dataclass(frozen=True)
class Slope:
    """Bytes a second of a level."""

    level: str
    rate: Value


@dataclass(frozen=True)
class Roofline:
    """Ceilings and slopes of one GPU, each from the highest down."""

    name: str
    product: str
    note: str
    ceilings: tuple[Ceiling, ...]
    slopes: tuple[Slope, ...]
    tile: tuple[int, int]

    def ceiling(self, kind: str) -> Ceiling | None:
        """The ceiling of a type."""
        return next((one for one in self.ceilings if one.kind == kind), None)

    def slope(self, level: str) -> Slope | None:
        """The slope of a level."""
        return next((one for one in self.slopes if one.level == level), None)


@dataclass(frozen=True)
class Placed:
    """A GEMM on the roofline: FLOP per byte of DRAM and of L2, seconds and FLOP/s, and what bounds it.

    ``attainable`` is the least of its type's ceiling and the slopes at its intensities (FLOP/s), ``bound`` says which;
    ``share`` is the reached part of it. ``low`` and ``high`` bound ``flop_per_s``.
    """

    gemm: Gemm
    dram_intensity: float
    l2_intensity: float
    time_s: float
    flop_per_s: float
    low: float
    high: float
    attainable: float
    bound: str
    share: float


def roofline_of(profile: DeviceProfile) -> Roofline:
    """The roofline of a profile: each type's best dense rate on random operands, each level's best reads."""
    ceilings = [Ceiling(kind, rate) for kind in DRAWN if (rate := profile.peak(kind)) is not None]
    slopes = [Slope(level, rate) for level, mode in LEVELS if (rate := _bandwidth(profile, level, mode)) is not None]
    return Roofline(
        profile.name,
        profile.product,
        profile.note,
        tuple(sorted(ceilings, key=lambda one: -one.rate.value)),
        tuple(sorted(slopes, key=lambda one: -one.rate.value)),
        CLUSTER_TILE if "cluster" in arch.parse(profile.architecture).features else TILE,
    )


def _bandwidth(profile: DeviceProfile, level: str, mode: str) -> Value | None:
    """Reads of a level; of L2, where only that is known, those of one set by all SMs."""
    return profile.bandwidth(level, mode) or profile.bandwidth(level, f"{mode} all")


def place(roofline: Roofline, gemm: Gemm, time_s: tuple[float, float, float]) -> Placed:
    """A GEMM that takes ``time_s`` (value, low, high) on the roofline."""
    rates = [gemm.flop / seconds for seconds in time_s]
    l2 = l2_intensity(gemm, roofline.tile)
    limits = {
        level: slope.rate.value * intensity
        for level, intensity in (("DRAM", gemm.intensity), ("L2", l2))
        if (slope := roofline.slope(level)) is not None
    }
    ceiling = roofline.ceiling(KINDS[gemm.dtype])
    if ceiling is not None:
        limits[ceiling.kind] = ceiling.rate.value
    bound = min(limits, key=lambda name: limits[name], default="")
    attainable = limits.get(bound, float("inf"))
    share = rates[0] / attainable if bound else 0.0
    return Placed(gemm, gemm.intensity, l2, time_s[0], rates[0], rates[2], rates[1], attainable, bound, share)


def l2_intensity(gemm: Gemm, tile: tuple[int, int]) -> float:
    """FLOP per byte of L2 where tiles of C load A and B from there; no tile is larger than the GEMM."""
    dtype = DTYPES[gemm.dtype]
    rows, columns = min(tile[0], gemm.m), min(tile[1], gemm.n)
    loaded = gemm.m * gemm.n * gemm.k * (1 / rows + 1 / columns) * dtype.input_bytes
    return gemm.flop / (loaded + gemm.output_bytes)


def ridges(roofline: Roofline) -> list[tuple[Ceiling, Slope, float]]:
    """Every ceiling over every slope, and the intensity (FLOP/B) from which the ceiling limits."""
    return [(c, s, c.rate.value / s.rate.value) for c in roofline.ceilings for s in roofline.slopes]


def to_document(roofline: Roofline, placed: Sequence[Placed]) -> dict[str, Any]:
    """The JSON document of a roofline and what is placed on it."""
    return {
        "schema": SCHEMA,
        "gpu": roofline.name,
        "product": roofline.product,
        "note": roofline.note,
        "ceilings": [{"kind": one.kind, **asdict(one.rate)} for one in roofline.ceilings],
        "slopes": [{"level": one.level, **asdict(one.rate)} for one in roofline.slopes],
        "ridges": [{"kind": c.kind, "level": s.level, "flop_per_byte": at} for c, s, at in ridges(roofline)],
        "gemms": [{**asdict(one.gemm), **_numbers(one)} for one in placed],
    }


def _numbers(one: Placed) -> dict[str, Any]:
    return {name: value for name, value in asdict(one).items() if name != "gemm"}
