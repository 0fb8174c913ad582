"""What a sweep needs of a GPU: the protocol GemmTimer, and what it hands back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from gpuprobe.ops.gemm import Gemm


class UnsupportedGemmError(Exception):
    """The library has no kernel for this GEMM, or it does not fit; the message is the reason."""


@dataclass(frozen=True)
class Condition:
    """The GPU beside a timing: SM clock in Hz, power in W, die temperature in °C, throttle reasons as NVML bits."""

    sm_clock_hz: float | None = None
    power_w: float | None = None
    temperature_c: float | None = None
    throttle: int | None = None


@dataclass(frozen=True)
class Timing:
    """One GEMM in one regime: time per GEMM in s, and the sample of each replay.

    A replay is a graph of ``launches`` GEMMs that rotates ``operand_sets``; ``flushed`` where the L2 was evicted before
    each replay because so many sets would not fit in one.
    """

    regime: str
    time_s: float
    samples_s: tuple[float, ...]
    launches: int
    operand_sets: int
    flushed: bool = False
    condition: Condition = field(default_factory=Condition)


@dataclass(frozen=True)
class KernelLaunch:
    """One kernel as the driver reported it: grid, block, registers a thread, shared memory in bytes, time in s."""

    name: str
    grid: tuple[int, ...] = ()
    block: tuple[int, ...] = ()
    registers: int = 0
    shared_bytes: int = 0
    time_s: float = 0.0


class GemmTimer(Protocol):
    """Times GEMMs on one GPU."""

    @property
    def facts(self) -> Mapping[str, object]:
        """What is measured on: device, driver, libraries, protocol constants. Written to the journal."""

    @property
    def largest_bytes(self) -> int:
        """Most bytes that A and B, and that C may take, each."""

    @property
    def sm_count(self) -> int:
        """Number of SMs: where waves end."""

    def warm_up(self, seconds: float) -> None:
        """Bring clocks and temperature up by working for about ``seconds``."""

    def time(self, gemm: Gemm, regimes: Iterable[str]) -> list[Timing]:
        """One Timing per regime, in the order given; UnsupportedGemmError where the library refuses."""

    def kernels(self, gemms: Sequence[Gemm]) -> list[list[KernelLaunch]]:
        """The kernels of one launch of each GEMM, in order; an empty list where they could not be told."""

    def close(self) -> None:
        """Stop polling and free the pools."""
