"""Runs a campaign on a GemmTimer: what the journal lacks is timed, then the kernels of what was timed are named."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from gpuprobe import __version__
from gpuprobe.errors import GpuprobeError
from gpuprobe.gpu.gemm_timer import GemmTimer, UnsupportedGemmError
from gpuprobe.ops.gemm import Gemm, unsupported
from gpuprobe.sweep.campaign import Campaign, Task
from gpuprobe.sweep.journal import SCHEMA, Journal, Record
from gpuprobe.sweep.rows import failed_row, kernels_record, timed_row
from gpuprobe.sweep.shapes import Limits

# What naming costs: the profiler's start and trace, then a launch and a parsed event a GEMM, in s.
_NAMING_S, _NAMING_ONE_S = 6.0, 1.2e-3


@dataclass(frozen=True)
class Progress:
    """How far a session is: GEMMs timed and refused now, tasks wanted (None: as many as fit), s spent and allowed."""

    timed: int
    refused: int
    earlier: int
    wanted: int | None
    elapsed_s: float
    seconds: float | None

    @property
    def each_s(self) -> float:
        """Seconds a GEMM, all regimes and overheads together."""
        return self.elapsed_s / max(1, self.timed)

    @property
    def remaining_s(self) -> float:
        """Estimate of the seconds still to go."""
        bounds = []
        if self.seconds is not None:
            bounds.append(self.seconds - self.elapsed_s)
        if self.wanted is not None:
            bounds.append((self.wanted - self.earlier - self.timed - self.refused) * self.each_s)
        return max(0.0, min(bounds, default=0.0))


@dataclass(frozen=True)
class Order:
    """What is asked of one session: regimes, tasks in all, seconds at most."""

    regimes: tuple[str, ...] = ("hot", "cold")
    count: int | None = None
    seconds: float | None = None


class Session:
    """One session of a campaign: ``records`` are what its journal holds from before."""

    def __init__(
        self,
        timer: GemmTimer,
        campaign: Campaign,
        journal: Journal,
        records: Sequence[Record],
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._timer, self._campaign, self._journal, self._clock = timer, campaign, journal, clock
        sessions = [record for record in records if record["kind"] == "session"]
        self._check(sessions)
        self._number = len(sessions)
        self._done = {(record["index"], record["regime"]) for record in records if record["kind"] == "row"}
        self._unnamed = _unnamed(records)
        self._begin_s = clock()
        self._timed = self._refused = self._earlier = 0
        journal.append(
            {
                "kind": "session", "schema": SCHEMA, "session": self._number, "gpuprobe": __version__,
                "started_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
                "campaign": dict(campaign.identity), **timer.facts,
            }
        )  # fmt: skip

    def _check(self, sessions: Iterable[Mapping[str, object]]) -> None:
        for session in sessions:
            if session["campaign"] != dict(self._campaign.identity):
                raise GpuprobeError(
                    "the journal belongs to a campaign with other types, layouts, seed or shapes",
                    "give the same options to continue it, or another -o",
                )
            if session.get("device") != self._timer.facts.get("device"):
                raise GpuprobeError(f"the journal was measured on {session.get('device')}", "give another -o")

    def measure(self, order: Order, stop: Callable[[], bool], report: Callable[[Progress], None]) -> Progress:
        """Time what the journal lacks until the tasks are done, the seconds (less the naming) spent, or ``stop()``."""
        limits = Limits(most_bytes=self._timer.largest_bytes, sm_count=self._timer.sm_count)
        for task in self._campaign.tasks(limits):
            if stop() or (order.count is not None and task.index >= order.count) or self._spent(order):
                break
            missing = tuple(regime for regime in order.regimes if (task.index, regime) not in self._done)
            if missing:
                self._time(task, missing)
                report(self._progress(order))
            else:
                self._earlier += 1
        self._journal.sync()
        return self._progress(order)

    def _elapsed(self) -> float:
        return self._clock() - self._begin_s

    def _spent(self, order: Order) -> bool:
        naming_s = _NAMING_S + sum(self._unnamed.values()) + _NAMING_ONE_S * len(self._unnamed)
        return order.seconds is not None and self._elapsed() + naming_s >= order.seconds

    def _progress(self, order: Order) -> Progress:
        return Progress(self._timed, self._refused, self._earlier, order.count, self._elapsed(), order.seconds)

    def _time(self, task: Task, regimes: Sequence[str]) -> None:
        reason = unsupported(task.gemm)
        begin_s = self._elapsed()
        if not reason:
            try:
                timings = self._timer.time(task.gemm, regimes)
            except UnsupportedGemmError as error:
                reason = str(error)
        if reason:
            self._refused += 1
            for regime in regimes:
                self._journal.append(failed_row(task, regime, self._number, begin_s, reason))
            return
        self._timed += 1
        for timing in timings:
            self._journal.append(timed_row(task, timing, self._number, begin_s))
        self._unnamed.setdefault(task.gemm, timings[0].time_s)

    def name_kernels(self) -> int:
        """Write down the kernels of every GEMM that was timed and has none; gives the number named."""
        gemms = list(self._unnamed)
        if not gemms:
            return 0
        named = 0
        for gemm, launches in zip(gemms, self._timer.kernels(gemms), strict=True):
            if launches:
                self._journal.append(kernels_record(gemm, launches))
                named += 1
        self._journal.sync()
        return named


def _unnamed(records: Iterable[Record]) -> dict[Gemm, float]:
    """GEMMs that were timed but whose kernels are not known, with their time in s."""
    times: dict[Gemm, float] = {}
    for record in records:
        if record["kind"] == "session":
            continue
        gemm = Gemm(record["m"], record["n"], record["k"], record["dtype"], record["layout"])
        if record["kind"] == "kernels":
            times.pop(gemm, None)
        elif not record["error"]:
            times.setdefault(gemm, record["time_us"] * 1e-6)
    return times
