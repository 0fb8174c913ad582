"""One kind of kernel of a step: what it computes or moves, how often, and as how many kernels."""

from __future__ import annotations

from dataclasses import dataclass

from gpuprobe.ops.gemm import Gemm


@dataclass(frozen=True)
class Product:
    """A GEMM whose weights come from device memory; ``grouped`` says that experts' GEMMs were put side by side."""

    gemm: Gemm
    grouped: bool = False


@dataclass(frozen=True)
class Traffic:
    """Bytes read and written by one kernel that computes little.

    ``strided``: rows apart, as PyTorch's kernels on views read them. ``rounds``: trips to memory that wait for each
    other (two in a reduction).
    """

    bytes: int
    strided: bool = False
    rounds: int = 1


@dataclass(frozen=True)
class Scores:
    """Attention over a prompt: FLOP, least bytes, new tokens of a sequence, width of a head."""

    flop: int
    bytes: int
    queries: int
    head_dim: int


@dataclass(frozen=True)
class CacheRead:
    """Attention of one new token a sequence: bytes of keys and values, all from device memory."""

    bytes: int


@dataclass(frozen=True)
class Choice:
    """Picking a token of ``vocab`` for each of ``rows`` sequences: one block scans a row."""

    rows: int
    vocab: int


@dataclass(frozen=True)
class Exchange:
    """An all-reduce of ``bytes`` over ``gpus``."""

    bytes: int
    gpus: int


Work = Product | Traffic | Scores | CacheRead | Choice | Exchange


@dataclass(frozen=True)
class Operation:
    """``calls`` times the same work in a step, each as ``kernels`` kernels; ``group`` is its row in a breakdown."""

    name: str
    group: str
    work: Work
    calls: int
    kernels: int = 1

    @property
    def launches(self) -> int:
        """Kernels in a step."""
        return self.calls * self.kernels
