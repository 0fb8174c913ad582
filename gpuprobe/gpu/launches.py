"""Timing of launches: what the call costs the host, how fast the device takes queued kernels, when a kernel is seen.

Four ways to launch: one by one on a stream, cooperatively (all blocks at once), as clusters of blocks, and as nodes of
a graph.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from gpuprobe.errors import Exit, GpuprobeError
from gpuprobe.gpu import driver

HOLD_NS = 500_000
HOLD_NS_PER_LAUNCH = 12_000
BATCH = 64
GRAPH_CALLS = 8
TRIES = 4
PATIENCE = 4
"""How many times longer the stream is held at each further try: hosts take 2 to 20 us for a call."""
MARKED_LAUNCHES = 32
MOST_POLLS = 1_000_000

Call = Callable[[], object]


class HostTooSlow(GpuprobeError):  # noqa: N818 - a condition of the host
    """The host did not queue the launches while the stream was held."""


@dataclass(frozen=True)
class Way:
    """How kernels are launched: ``kind`` (stream, cooperative, cluster, graph), blocks, threads, cluster size."""

    kind: str = "stream"
    grid: int = 1
    block: int = 1
    cluster: int = 0

    def prepared(self, kernel: Any, stream: Any, arguments: tuple[Any, ...] = ()) -> driver.Prepared:
        """A launch of ``kernel`` this way, to be made many times."""
        shape = (self.grid, self.block, 0)
        cooperative = self.kind == "cooperative"
        return driver.prepared(kernel.ptr, stream.ptr, shape, arguments, cluster=self.cluster, cooperative=cooperative)


@dataclass(frozen=True)
class LaunchTiming:
    """Seconds of one sample.

    ``api_s``: host time inside the calls (all launches of a stream, one launch of a graph), from the fastest batch,
    because the host is interrupted now and then; the cost of a foreign call is taken off. ``call_s``: that cost.
    ``drain_s``: device time from the end of the holding kernel to a stamp behind the last launch.
    """

    api_s: float
    call_s: float
    drain_s: float


@dataclass(frozen=True)
class Kernels:
    """The kernels of null_kernel.cu: one that does nothing, one that holds the stream, one that stamps the time."""

    nothing: Any
    hold: Any
    stamp: Any

    @classmethod
    def of(cls, functions: Mapping[str, Any]) -> Kernels:
        """From functions by name."""
        return cls(functions["nothing"], functions["hold"], functions["stamp"])


def time_launches(stream: Any, kernels: Kernels, out: Any, count: int, way: Way, patience: int = 1) -> LaunchTiming:
    """Queue ``count`` empty kernels in the given way behind a kernel that waits, ``patience`` times as long as usual.

    ``out`` is a device array of four 64-bit words. HostTooSlow where the host did not queue them in that time.
    """
    call = way.prepared(kernels.nothing, stream)
    if way.kind == "graph":
        graph = _graph(stream, call, count)

        def launch() -> float:
            return _timed(lambda: graph.launch(stream))

        runs = [_behind_hold(stream, kernels, out, HOLD_NS * patience, launch) for _ in range(GRAPH_CALLS)]
        return LaunchTiming(min(api_s for api_s, _ in runs), 0.0, min(drain_s for _, drain_s in runs))

    def queue() -> float:
        return _fastest_batch(call.function, call.arguments, count) * count

    hold_ns = (HOLD_NS + HOLD_NS_PER_LAUNCH * count) * patience
    api_s, drain_s = _behind_hold(stream, kernels, out, hold_ns, queue)
    call_s = _fastest_batch(ctypes.CDLL(None).labs, call.arguments, count) * count
    return LaunchTiming(max(api_s - call_s, 0.0), call_s, drain_s)


def time_launches_again(stream: Any, kernels: Kernels, out: Any, count: int, way: Way) -> LaunchTiming:
    """``time_launches``, tried up to TRIES times, each PATIENCE times as patient as the last: hosts are held up."""
    for tried in range(TRIES - 1):
        try:
            return time_launches(stream, kernels, out, count, way, PATIENCE**tried)
        except HostTooSlow:
            continue
    return time_launches(stream, kernels, out, count, way, PATIENCE ** (TRIES - 1))


def time_marks(stream: Any, kernel: Any, way: Way, flags: Any, counter: Any) -> dict[str, float]:
    """Seconds from the call to what the host sees of one kernel on an idle stream: medians of MARKED_LAUNCHES.

    The kernel writes to ``flags`` (pinned host memory, 64-bit words) as its first act and again when its last block is
    through, which ``counter`` (device memory) finds out. ``api_s``: the call returns; ``start_s``: the first mark is
    seen; ``end_s``: the second; ``done_s``: cuStreamSynchronize returns.
    """
    marks = np.frombuffer(flags, dtype=np.uint64, count=16)
    begun = ctypes.c_uint64.from_address(flags.ptr)
    ended = ctypes.c_uint64.from_address(flags.ptr + 64)
    pointers = (0, counter.data.ptr, flags.ptr)
    arguments = (*(ctypes.c_uint64(p) for p in pointers), ctypes.c_uint64(0), ctypes.c_uint64(1), ctypes.c_uint32(0))
    call: Call = way.prepared(kernel, stream, arguments)
    if way.kind == "graph":
        graph = _graph(stream, call, 1)

        def call() -> object:
            return graph.launch(stream)

    rows = []
    for _ in range(MARKED_LAUNCHES):
        marks[:] = 0
        stream.synchronize()
        rows.append(_marked(call, begun, ended, stream))
    columns = zip(*rows, strict=True)
    return dict(zip(("api_s", "start_s", "end_s", "done_s"), (float(median(c)) for c in columns), strict=True))


def _marked(call: Call, begun: Any, ended: Any, stream: Any) -> tuple[float, float, float, float]:
    clock, polls = time.perf_counter, 0
    begin = clock()
    call()
    returned = clock()
    while begun.value == 0 and polls < MOST_POLLS:
        polls += 1
    started = clock()
    while ended.value == 0 and polls < MOST_POLLS:
        polls += 1
    finished = clock()
    stream.synchronize()
    done = clock()
    if polls >= MOST_POLLS:
        raise GpuprobeError(
            "a kernel's mark in host memory was not seen", "report it with: gpuprobe doctor --json", Exit.CHECK_FAILED
        )
    return returned - begin, started - begin, finished - begin, done - begin


def _behind_hold(
    stream: Any, kernels: Kernels, out: Any, hold_ns: int, queue: Callable[[], float]
) -> tuple[float, float]:
    """What ``queue`` returns, and the seconds from the end of the holding kernel to a stamp behind what it queued."""
    kernels.hold((1,), (1,), _arguments(out, hold_ns))
    result = queue()
    held_back = not stream.done
    kernels.stamp((1,), (1,), _arguments(out, 0))
    stream.synchronize()
    if not held_back:
        raise HostTooSlow(
            "queueing the launches took the host longer than the holding kernel ran",
            "run again on a less busy host",
            Exit.CHECK_FAILED,
        )
    held_until, stamped = (int(value) for value in out.get()[:2])
    return result, (stamped - held_until) * 1e-9


def _fastest_batch(function: Callable[..., int], arguments: tuple[Any, ...], count: int) -> float:
    """Seconds of one call, from the fastest of count / BATCH batches of BATCH calls."""

    def batch() -> None:
        for _ in range(BATCH):
            function(*arguments)

    return min(_timed(batch) for _ in range(count // BATCH)) / BATCH


def _timed(call: Call) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def _arguments(out: Any, size: int) -> tuple[Any, ...]:
    """The common kernel signature of microbench/probe.cuh."""
    return (out, out, out, np.uint64(size), np.uint64(1), np.uint32(0))


def _graph(stream: Any, call: Call, count: int) -> Any:
    """A graph of ``count`` launches in a row, uploaded and run once."""
    stream.begin_capture()
    for _ in range(count):
        call()
    graph = stream.end_capture()
    graph.upload(stream)
    graph.launch(stream)
    stream.synchronize()
    return graph
