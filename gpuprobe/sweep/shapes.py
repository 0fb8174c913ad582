"""Seeded sampling of GEMM shapes: shape i depends on (seed, i) alone, so any prefix is a fair sample of the whole."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass

from gpuprobe.ops.gemm import DTYPES, Gemm
from gpuprobe.sweep.models import layer_pairs

Triple = tuple[int, int, int]

# FLOP/s and byte/s of the order of a data-centre GPU, to leave out what would take too long; never a result.
_NOMINAL_FLOPS = {"bf16": 6e14, "fp16": 6e14, "tf32": 3e14, "fp32": 4.5e13, "fp8": 1.1e15, "int8": 1.1e15}
_NOMINAL_BANDWIDTH = 2.5e12


@dataclass(frozen=True)
class Limits:
    """What a sampled GEMM may cost: estimated time in s, and bytes of A and B, and of C; ``sm_count`` places waves."""

    most_s: float = 12e-3
    most_bytes: int = 4 << 30
    sm_count: int = 132


def rough_time_s(gemm: Gemm) -> float:
    """Order of magnitude of the GEMM's time in s on a data-centre GPU."""
    return max(gemm.flop / _NOMINAL_FLOPS[gemm.dtype], gemm.bytes / _NOMINAL_BANDWIDTH) + 3e-6


def fits(gemm: Gemm, limits: Limits) -> bool:
    """Whether the GEMM stays within the limits."""
    largest = max(gemm.operand_bytes, gemm.output_bytes)
    return largest <= limits.most_bytes and rough_time_s(gemm) <= limits.most_s


def _log_uniform(rng: random.Random, low: float, high: float) -> int:
    return round(math.exp(rng.uniform(math.log(low), math.log(high))))


def _multiple(rng: random.Random, low: int, high: int, step: int) -> int:
    return max(step, _log_uniform(rng, low, high) // step * step)


def _tokens(rng: random.Random) -> int:
    """Rows of a linear layer: powers of two, decode batches, aligned and arbitrary prompt lengths, 1…8192."""
    kind = rng.random()
    if kind < 0.35:
        return int(2 ** rng.randint(0, 13))
    if kind < 0.6:
        return _log_uniform(rng, 1, 256)
    if kind < 0.8:
        return _multiple(rng, 64, 8192, rng.choice((8, 16, 64, 128)))
    return _log_uniform(rng, 64, 8192)


def llm(rng: random.Random, _: int) -> Triple:
    """A linear layer of a well-known model at a batch of 1…8192 tokens; its vocabulary is ragged as it is."""
    n, k = rng.choice(layer_pairs())
    return _tokens(rng), n, k


def log_uniform(rng: random.Random, _: int) -> Triple:
    """Each size log-uniform in 16…16384, a multiple of 8."""
    m, n, k = (_multiple(rng, 16, 16384, 8) for _ in range(3))
    return m, n, k


def ragged(rng: random.Random, _: int) -> Triple:
    """n or k not a multiple of 8: each class of alignment (1, 2, 4, 8) as often; log-uniform or beside a layer."""
    if rng.random() < 0.4:
        m, (n, k) = _tokens(rng), rng.choice(layer_pairs())
    else:
        m, n, k = (_log_uniform(rng, 16, 16384) for _ in range(3))
    n_class, k_class = rng.choice([(a, b) for a in (1, 2, 4, 8) for b in (1, 2, 4, 8) if min(a, b) < 8])
    return m, _of_class(rng, n, n_class), _of_class(rng, k, k_class)


def _of_class(rng: random.Random, size: int, alignment: int) -> int:
    """A size near ``size`` whose largest power-of-two factor, up to 8, is ``alignment``."""
    if alignment == 8:
        return max(8, size // 8 * 8)
    odd = rng.choice(range(1, 8 // alignment, 2))
    return size // 8 * 8 + odd * alignment


def skinny(rng: random.Random, _: int) -> Triple:
    """One size far from the others: few rows, few columns, a long k that wants splitting, or a short k."""
    small, large = _log_uniform(rng, 1, 256), _multiple(rng, 1024, 16384, 8)
    other = _multiple(rng, 256, 16384, 8)
    kind = rng.randrange(4)
    if kind == 0:
        return small, large, other
    if kind == 1:
        return large, max(8, small // 8 * 8), other
    if kind == 2:
        return _log_uniform(rng, 1, 512), _multiple(rng, 16, 1024, 8), _multiple(rng, 4096, 65536, 8)
    return large, other, _multiple(rng, 8, 256, 8)


def tile_edge(rng: random.Random, _: int) -> Triple:
    """m and n at, just under and just over multiples of a tile; k a multiple of 32."""
    m = rng.choice((64, 128, 256)) * rng.randint(1, 24) + rng.choice((-1, 0, 1))
    n = rng.choice((64, 128, 192, 256)) * rng.randint(1, 40) + rng.choice((-8, 0, 8, -1, 1))
    return m, n, _multiple(rng, 64, 12288, 32)


def wave_edge(rng: random.Random, sm_count: int) -> Triple:
    """As many tiles as SMs in 1…6 waves, and one tile column or row around it."""
    tile_m, tile_n = rng.choice(((128, 128), (128, 256), (256, 128), (64, 128), (192, 128), (64, 256), (128, 64)))
    tiles = sm_count * rng.randint(1, 6) // rng.choice((1, 1, 2))
    columns = max(1, min(tiles, _log_uniform(rng, 2, 96)))
    rows = max(1, round(tiles / columns) + rng.choice((-1, 0, 0, 1)))
    return (
        rows * tile_m + rng.choice((-1, 0, 0, 1)),
        columns * tile_n + rng.choice((-8, 0, 0, 8)),
        _multiple(rng, 128, 12288, 64),
    )


Family = Callable[[random.Random, int], Triple]
FAMILIES: tuple[tuple[str, float, Family], ...] = (
    ("llm", 0.38, llm),
    ("log_uniform", 0.27, log_uniform),
    ("ragged", 0.14, ragged),
    ("skinny", 0.09, skinny),
    ("tile_edge", 0.06, tile_edge),
    ("wave_edge", 0.06, wave_edge),
)
"""Name, share and sampler of each family."""


def conform(triple: Triple, dtype: str, layout: str) -> Gemm:
    """The nearest GEMM that torch runs in this type: n and k rounded up to its multiple, too few rows shifted up."""
    m, n, k = (max(1, size) for size in triple)
    limits = DTYPES[dtype]
    n, k = (-(-size // limits.multiple) * limits.multiple for size in (n, k))
    return Gemm(m if m >= limits.least_m else m + limits.least_m - 1, n, k, dtype, layout)


def sample(seed: int, index: int, dtype: str, layout: str, limits: Limits) -> tuple[str, Gemm]:
    """Family and GEMM number ``index``, within the limits."""
    rng = random.Random(f"{seed}:{index}")
    name, _, family = rng.choices(FAMILIES, [share for _, share, _ in FAMILIES])[0]
    while True:
        gemm = conform(family(rng, limits.sm_count), dtype, layout)
        if fits(gemm, limits):
            return name, gemm
