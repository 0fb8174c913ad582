"""An operation on a GPU: its time with interval, energy, what bounds it, and where the number comes from."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from gpuprobe.llm.hardware import Hardware, Quantity
from gpuprobe.llm.operation import CacheRead, Choice, Exchange, Operation, Product, Scores, Traffic, Work
from gpuprobe.predict import Interval

CACHED: Final = 0.5
"""Results up to this part of the L2 are still in it when the next kernel reads them."""
_GROUPED: Final = (0.9, 1.5)
"""A grouped GEMM against one of the same size: uneven experts, smaller tiles."""
_CACHE_ROUNDS: Final = 3
"""Trips to memory that wait for each other in attention over a short cache."""
_WIDE_HEAD: Final = 128
_NARROW_HEAD_SHARE: Final = 0.77
"""Attention with heads of 64 over heads of 128: 497 to 648 TFLOP/s on H100 (arXiv:2407.08608)."""


@dataclass(frozen=True)
class Timed:
    """An operation with the time of one call in s, its energy in J, and its bound.

    ``bound``: compute, memory (weights and results between kernels), kv, launch, network. ``throttled_s`` is the time
    where a GPU does nothing else and its power cap has settled.
    """

    operation: Operation
    time_s: Interval
    energy_j: float
    bound: str
    in_domain: bool
    origin: str
    throttled_s: Interval | None = None

    @property
    def total_s(self) -> float:
        """Time of all calls, s."""
        return self.time_s.value * self.operation.calls

    def throttled(self, part: float) -> Timed:
        """The operation with ``part`` of the difference that the power cap makes (0 to 1)."""
        if self.throttled_s is None:
            return self
        mixed = (one + part * (other - one) for one, other in zip(self.time_s, self.throttled_s, strict=True))
        return replace(self, time_s=Interval(*mixed), throttled_s=None)


def timed(operation: Operation, gpu: Hardware) -> Timed:
    """The operation on one GPU."""
    work = operation.work
    if isinstance(work, Product):
        return _product(operation, work, gpu)
    floor = _floor(operation, work, gpu)
    moving = _MOVING[type(work)](work, gpu)
    if isinstance(work, Exchange):
        time_s, bound = moving, "network"
    else:
        time_s = _plus(floor, moving)
        bound = _BOUNDS[type(work)] if moving.value > floor.value else "launch"
    origin = _origin(work, gpu)
    return Timed(operation, time_s, _energy(work, time_s.value, gpu), bound, origin != "assumed", origin)


def _product(operation: Operation, work: Product, gpu: Hardware) -> Timed:
    """A GEMM by the predictor, operands from memory."""
    gemm = work.gemm
    found = gpu.predictor.gemm(gemm.m, gemm.n, gemm.k, gemm.dtype, gemm.layout)
    low, high = _GROUPED if work.grouped else (1.0, 1.0)
    cold, lasting = (Interval(one.value, one.low * low, one.high * high) for one in (found.cold, found.sustained))
    bound = {"dram": "memory", "l2": "compute"}.get(found.bound, found.bound)
    energy_j = found.power_w.value * found.sustained.value
    known = found.in_domain and not work.grouped
    return Timed(operation, cold, energy_j, bound, known, found.model_id, lasting)


def _floor(operation: Operation, work: Work, gpu: Hardware) -> Interval:
    """Least time of the operation's kernels: that of an empty one, more where trips to memory wait for each other."""
    rounds = 1
    if isinstance(work, Traffic):
        rounds = work.rounds + work.strided
    elif isinstance(work, CacheRead):
        rounds = _CACHE_ROUNDS
    one = gpu["kernel_s"]
    return _times(one, operation.kernels + rounds - 1)


def _traffic(work: Traffic, gpu: Hardware) -> Interval:
    level = "l2_copy" if work.bytes <= CACHED * gpu["l2_bytes"].value else "dram_copy"
    return _over(work.bytes, gpu[level], gpu["strided_share" if work.strided else "traffic_share"])


def _scores(work: Scores, gpu: Hardware) -> Interval:
    """A share of the peak that grows with the prompt, half of its most at ``attention_half`` tokens."""
    half = gpu["attention_half"]
    narrow = 1.0 if work.head_dim >= _WIDE_HEAD else _NARROW_HEAD_SHARE
    peak = gpu["peak"]

    def reached(tokens: float, share: float, rate: float) -> float:
        return work.flop / (rate * narrow * share * work.queries / (work.queries + tokens))

    share = gpu["attention_share"]
    return Interval(
        reached(half.value, share.value, peak.value),
        reached(half.low, share.high, peak.high),
        reached(half.high, share.low, peak.low),
    )


def _cache_read(work: CacheRead, gpu: Hardware) -> Interval:
    return _over(work.bytes, gpu["dram_read"], gpu["cache_read_share"])


def _choice(work: Choice, gpu: Hardware) -> Interval:
    return _times(gpu["scan_s"], work.vocab * math.ceil(work.rows / gpu.machine.sm_count))


def _exchange(work: Exchange, gpu: Hardware) -> Interval:
    """A ring's traffic, 2·(g-1)/g of the bytes in each direction, after a fixed latency."""
    sent = 2.0 * (work.gpus - 1) / work.gpus * work.bytes
    return _plus(_times(gpu["link_latency_s"], 1), _over(sent, gpu["link"], gpu["link_share"]))


_MOVING: Final[Mapping[type[Any], Callable[[Any, Hardware], Interval]]] = {
    Traffic: _traffic, Scores: _scores, CacheRead: _cache_read, Choice: _choice, Exchange: _exchange,
}  # fmt: skip
_BOUNDS: Final = {Traffic: "memory", Scores: "compute", CacheRead: "kv", Choice: "memory"}
_USED: Final = {
    Traffic: ("dram_copy", "kernel_s"),
    Scores: ("peak", "attention_share"),
    CacheRead: ("dram_read", "cache_read_share"),
    Choice: ("scan_s",),
    Exchange: ("link", "link_latency_s", "link_share"),
}
_TRUST: Final = ("given", "measured", "recorded", "published", "datasheet", "assumed")


def _origin(work: Work, gpu: Hardware) -> str:
    """The least trusted origin of the numbers behind a time."""
    return max((gpu[name].origin for name in _USED[type(work)]), key=_TRUST.index)


def _energy(work: Work, time_s: float, gpu: Hardware) -> float:
    """At rest for its time, a cost for each operation and byte; at most the power cap."""
    machine = gpu.machine
    flop = work.flop if isinstance(work, Scores) else 0
    moved = work.bytes if isinstance(work, Traffic | Scores | CacheRead) else 0
    active = machine.static_w * time_s + machine.joule_per_flop * flop + machine.joule_per_byte * moved
    return min(active, machine.tdp_w * time_s)


def _times(one: Quantity, factor: float) -> Interval:
    return Interval(one.value * factor, one.low * factor, one.high * factor)


def _over(amount: float, rate: Quantity, share: Quantity) -> Interval:
    """Time of an amount at a share of a rate."""
    return Interval(
        amount / (rate.value * share.value), amount / (rate.high * share.high), amount / (rate.low * share.low)
    )


def _plus(a: Interval, b: Interval) -> Interval:
    """Both after one another; their errors are taken as common."""
    return Interval(a.value + b.value, a.low + b.low, a.high + b.high)
