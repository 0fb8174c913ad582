"""One evaluation from two files to a verdict: load, check, time, check again."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gpuprobe import device
from gpuprobe.kernel_eval import correctness
from gpuprobe.kernel_eval.advice import Advice, from_metrics, from_times
from gpuprobe.kernel_eval.child import Child, Fault
from gpuprobe.kernel_eval.condition import Condition, Watch, unwatched
from gpuprobe.kernel_eval.contrasts import CONTRASTS, Comparisons
from gpuprobe.kernel_eval.correctness import REQUIRED, ROBUSTNESS, Correctness, fault_finding
from gpuprobe.kernel_eval.fence import hide_memory, standing
from gpuprobe.kernel_eval.findings import Finding, Verdict, verdict_of
from gpuprobe.kernel_eval.floor import distance, floor_of
from gpuprobe.kernel_eval.metrics import collect
from gpuprobe.kernel_eval.pool import fresh_pairs
from gpuprobe.kernel_eval.session import Limits, Session, start
from gpuprobe.kernel_eval.speed import Speed, headline
from gpuprobe.kernel_eval.stopwatch import HostSynchronisesError
from gpuprobe.kernel_eval.timing import MOST_ROUNDS, Bench, Regime, WitnessError

PROCESSES = 4
"""Pairs of processes that a GPU's times are taken in, where nothing else is asked for."""
MOST_FRESH_ROUNDS = 2
"""Times the rounds asked for that each of several pairs of processes has at most."""
PHYSICAL = 1.05
"""Share of the floor above which a cold time cannot have read all inputs (name-plate bandwidth is not exceeded)."""
METRICS_LIMIT_S = 120.0
UNHELD = {"gpu_idle", "applications_clocks", "sync_boost", "display_clock"}
"""Clock reasons that are no throttling."""


@dataclass(frozen=True)
class Options:
    """How to evaluate. ``rounds`` per regime, ``requests`` of the server regime, 0 to leave a part out.

    ``processes``: pairs of processes that have these rounds; more than one are fresh ones.
    """

    device: str = "cuda:0"
    backend: str = "torch"
    rounds: int = 11
    processes: int = 1
    requests: int = 48
    mean_gap_s: float = 2e-3
    regimes: tuple[str, ...] = ("hot", "cold")
    metrics: bool = True
    limits: Limits = field(default_factory=Limits)
    watch: Watch = unwatched


@dataclass
class Evaluation:
    """What was found about one candidate."""

    candidate: str
    reference: str
    findings: list[Finding] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    evidence: list[dict[str, Any]] = field(default_factory=list)
    contrasts: list[dict[str, Any]] = field(default_factory=list)
    regimes: list[Regime] = field(default_factory=list)
    speeds: list[Speed] = field(default_factory=list)
    server: dict[str, list[float]] = field(default_factory=dict)
    roofline: dict[str, Any] = field(default_factory=dict)
    kernels: dict[str, Any] = field(default_factory=dict)
    advice: Advice | None = None
    task: dict[str, Any] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    detail: str = ""

    @property
    def verdict(self) -> Verdict:
        """The gravest verdict that a finding calls for."""
        return verdict_of(self.findings)


Workers = tuple[Child, Child, Child]
"""Reference, pace and candidate worker."""


def spawn(options: Options, folder: Path) -> Workers:
    """All workers, started; they load their libraries while the caller does something else.

    This process's own memory and open files are closed to others of its user from here on.
    """
    return *spawn_reference(options, folder), spawn_candidate(options, folder)


def spawn_reference(options: Options, folder: Path) -> tuple[Child, Child]:
    """The trusted workers, started: the one that judges and the one that runs the reference for its time."""
    reference = start("reference", options.backend, options.device, folder / "reference", options.limits)
    return reference, start("pace", options.backend, options.device, folder / "pace", options.limits)


def spawn_candidate(options: Options, folder: Path) -> Child:
    """A candidate worker, started."""
    hide_memory()
    return start("candidate", options.backend, options.device, folder / "candidate", options.limits)


def evaluate(
    candidate: Path,
    reference: Path | None,
    options: Options,
    *,
    workers: tuple[Workers, Path] | None = None,
    keep_reference: bool = False,
    progress: Callable[[str], None] = lambda _text: None,
) -> Evaluation:
    """Judge one candidate; without a ``reference`` file ``Model`` comes from the candidate's own."""
    with tempfile.TemporaryDirectory(prefix="gpuprobe-eval-") as made:
        folder = workers[1] if workers else Path(made)
        children = workers[0] if workers else spawn(options, folder)
        result = Evaluation(str(candidate), str(reference or candidate))
        with Session(folder, *children, options.limits, keep_reference) as session:
            _Evaluator(session, result, options, progress).run(candidate, reference or candidate)
        return result


def evaluate_all(
    candidates: Sequence[Path], reference: Path | None, options: Options, progress: Callable[[str], None]
) -> Iterator[Evaluation]:
    """Judge candidates one after the other; those of one reference file share its worker."""
    with tempfile.TemporaryDirectory(prefix="gpuprobe-eval-") as made:
        folders = [Path(made) / str(number) for number in range(len(candidates))]
        if reference is None:
            for folder, candidate in zip(folders, candidates, strict=True):
                yield evaluate(candidate, None, options, workers=(spawn(options, folder), folder), progress=progress)
            return
        shared, pace = spawn_reference(options, Path(made))
        with shared, pace:
            for folder, candidate in zip(folders, candidates, strict=True):
                workers = ((shared, pace, spawn_candidate(options, folder)), folder)
                yield evaluate(candidate, reference, options, workers=workers, keep_reference=True, progress=progress)


class _Evaluator:
    def __init__(self, session: Session, result: Evaluation, options: Options, say: Callable[[str], None]) -> None:
        self.session, self.result, self.options, self.say = session, result, options, say
        self.found = Correctness(findings=result.findings, rows=result.rows, evidence=result.evidence)
        self._stood: dict[int, Any] = {}

    def run(self, candidate: Path, reference: Path) -> None:
        self._timed("load_reference", lambda: self._load_reference(reference))
        self._trust(os.getpid(), self.session.reference.pid, self.session.pace.pid)
        try:
            self._judge(candidate, reference)
        finally:
            self._check_standing()

    def _trust(self, *pids: int) -> None:
        """Note how trusted processes are scheduled."""
        self._stood |= dict(zip(pids, standing(pids), strict=False))

    def _check_standing(self) -> None:
        """Whether they still are scheduled so; those that have ended are forgotten."""
        self._stood = {pid: stood for pid, stood in self._stood.items() if Path(f"/proc/{pid}").exists()}
        if standing(list(self._stood)) != list(self._stood.values()):
            self.found.add("tampers", "the priority or the CPUs of the harness's processes were changed")

    def _judge(self, candidate: Path, reference: Path) -> None:
        try:
            self._timed("load_candidate", lambda: self._load_candidate(candidate))
            self._timed("check", self._check)
            if self.found.right and self.options.rounds:
                self._timed("time", lambda: self._time(candidate))
            if self.found.right:
                self._timed("recheck", self._recheck)
            if self.found.right and self.options.rounds:
                self._timed("explain", lambda: self._explain_speed(candidate, reference))
        except Fault as fault:
            self.result.findings.append(fault_finding(fault))
            self.result.detail = fault.trace

    def _timed(self, name: str, step: Callable[[], Any]) -> None:
        self.say(f"{Path(self.result.candidate).name}: {name.replace('_', ' ')}")
        begin_s = time.perf_counter()
        try:
            step()
        finally:
            self.result.seconds[name] = time.perf_counter() - begin_s

    def _load_reference(self, path: Path) -> None:
        task = self.session.load_reference(path)
        layout = task.layout
        self.result.task = {
            "inputs": [f"{spec.dtype}{list(spec.shape)}" for spec in layout.inputs],
            "outputs": [f"{spec.dtype}{list(spec.shape)}" for spec in layout.outputs],
            "flop": task.flop,
            "bytes": layout.input_bytes + layout.output_bytes + task.state_bytes,
            **task.facts,
        }

    def _load_candidate(self, path: Path) -> None:
        answer = self.session.load_candidate(path)
        correctness.note_patched(answer, self.found)
        self.result.task["arena"] = "staged" if self.session.staged else "shared"
        if not answer.get("adopted"):
            self.found.add("own-weights", "parameters differ in name or shape: built from the same seed only")

    def _check(self) -> None:
        correctness.check(self.session, self.found, REQUIRED)
        outputs = len(self.session.task.layout.outputs) if self.session.task else 0
        correctness.set_bounds(self.found, outputs)
        for step in (self._check_robustness, self._check_twice, self._check_strides, self._check_gradients):
            if self.found.right:
                step()

    def _check_robustness(self) -> None:
        correctness.check(self.session, self.found, ROBUSTNESS)

    def _check_twice(self) -> None:
        correctness.check_twice(self.session, self.found)

    def _check_strides(self) -> None:
        correctness.check_strides(self.session, self.found)

    def _check_gradients(self) -> None:
        correctness.check_gradients(self.session, self.found)

    def _recheck(self) -> None:
        correctness.check(self.session, self.found, ("given", "given"))

    def _time(self, candidate: Path) -> None:
        """Times and contrasts; with more processes than one the times are those of fresh ones."""
        bench, several = Bench(self.session, self.found), self.options.processes > 1
        gate = bench.gate
        try:
            with self.options.watch(self.session.task.facts["uuid"] if self.session.task else "") as condition:
                self._warm(bench)
                gate = bench.gate_of_candidate()
                for name in self.options.regimes:
                    gate = self._measure(bench, name, gate, condition, plans=several)
                self._repeats(bench, gate)
                self._check_kept(bench, gate)
                if self.options.requests:
                    self.result.server = bench.serve(self.options.requests, self.options.mean_gap_s)
                if several and self.result.regimes:
                    self._measure_afresh(bench, candidate, condition)
        except WitnessError as error:
            self._explain(bench, gate, str(error))
        finally:
            self._conclude()

    def _measure(self, bench: Bench, name: str, gate: str, condition: Condition, *, plans: bool) -> str:
        """Time a regime, or find out how (``plans``); the gate that the next one should have."""
        begin_s, rounds = time.perf_counter(), self.options.rounds
        regime = bench.measure(name, gate, *((1, 1) if plans else (rounds, MOST_ROUNDS * rounds)))
        if plans:
            regime.forget()
        else:
            self._note_condition(regime, condition(begin_s, time.perf_counter()))
        self.result.regimes.append(regime)
        return regime.gate

    def _measure_afresh(self, bench: Bench, candidate: Path, condition: Condition) -> None:
        """Time all regimes in fresh pairs of processes; what they do is watched as before."""
        options, rounds = self.options, self.options.rounds
        regimes = self.result.regimes

        def make(role: str, name: str) -> Child:
            return start(role, options.backend, options.device, self.session.folder / name, options.limits)

        pairs = fresh_pairs(self.session, make, options.processes, regimes)
        try:
            while pairs:
                pace, other = pairs.pop(0)
                self._check_standing()
                self._trust(pace.clock.child.pid)
                correctness.note_patched(self.session.renew(pace.clock, other.clock, candidate), self.found)
                self._warm(bench)
                for regime in regimes:
                    offset_s = other.empties_s.get(regime.name, 0.0) - pace.empties_s.get(regime.name, 0.0)
                    begin_s = time.perf_counter()
                    try:
                        bench.add(regime, rounds, MOST_FRESH_ROUNDS * rounds, offset_s)
                    except HostSynchronisesError:
                        self.found.add("synchronises-host", f"{regime.name}: not queued in every process, left out")
                    self._note_condition(regime, condition(begin_s, time.perf_counter()))
        finally:
            for left in (worker for pair in pairs for worker in pair):
                left.clock.child.kill()

    def _note_condition(self, regime: Regime, condition: dict[str, Any]) -> None:
        """Keep the first processes' condition of a regime; a clock that was held down is a note whenever it was."""
        regime.condition = regime.condition or condition
        held = sorted(set(condition.get("throttled_by", ())) - UNHELD)
        if held:
            self.found.add("throttled", f"{regime.name}: the clock was held down by {', '.join(held)}")

    def _conclude(self) -> None:
        """Times and speed-ups of what was timed."""
        for regime in self.result.regimes:
            known = regime.speed() if regime.rounds else None
            if known is None and regime.rounds:
                self.found.add("too-noisy", f"{regime.name}: windows with the model are no longer than windows without")
            elif known is not None:
                self.result.speeds.append(known)

    def _explain_speed(self, candidate: Path, reference: Path) -> None:
        """Distance to the floor, kernels, advice. Nothing here touches the verdict."""
        result, task = self.result, self.session.task
        head = headline(result.speeds)
        if task is None or head is None:
            return
        size = task.layout.input_bytes + task.layout.output_bytes + task.state_bytes
        dtypes = [spec.dtype for spec in task.layout.inputs]
        floor = floor_of(size, task.flop, dtypes, device.match(str(task.facts["device"])))
        result.roofline = distance(floor, head.candidate.value)
        if result.roofline["share"] is not None and head.regime == "cold" and result.roofline["share"] > PHYSICAL:
            self.found.add("faster-than-memory", "faster than its inputs can be read: it does not read all of them")
        result.kernels = self._kernels(candidate, reference)
        if self.options.device.startswith("cuda"):
            result.advice = self._advice(result.kernels)

    def _kernels(self, candidate: Path, reference: Path) -> dict[str, Any]:
        """Kernels of a call as the candidate's profiler names them, and as ncu measures them where it may."""
        found: dict[str, Any] = {"launched": [], "measured": [], "why_not": "not asked for"}
        if self.options.metrics and self.options.device.startswith("cuda"):
            told = self.session.candidate.ask("kernels", self.options.limits.call_s, slot=0)
            found["launched"] = told.get("kernels", [])
            found["measured"], found["why_not"] = collect(
                candidate.resolve(), reference.resolve(), self.options.device, self.session.folder, METRICS_LIMIT_S
            )
        return found

    def _advice(self, kernels: dict[str, Any]) -> Advice:
        if kernels["measured"]:
            return from_metrics(max(kernels["measured"], key=lambda row: row.get("time_ns", 0.0)))
        by_name = {row.regime: row.candidate.value for row in self.result.speeds}
        return from_times(
            {
                "hot_s": by_name.get("hot"),
                "cold_s": by_name.get("cold"),
                "floor_share": self.result.roofline["share"],
                "floor_bound": self.result.roofline["bound"],
                "kernels": len(kernels["launched"]),
                "host": any(finding.name == "synchronises-host" for finding in self.found.findings),
            }
        )

    def _warm(self, bench: Bench) -> None:
        """A call of the reference for its outputs' memory, and host-gated batches of both sides."""
        self.session.warm_pace()
        for side in ("reference", "candidate"):
            bench.window(side, [0, 1, 0, 1], "host")

    def _repeats(self, bench: Bench, gate: str) -> None:
        """Work that is skipped where it can be: pairs of batches that cost the honest the same."""
        comparisons = Comparisons(bench.window, bench.task, self.found)
        self.result.contrasts = comparisons.rows
        for asked in CONTRASTS if self.result.regimes else ():
            gain = comparisons.ask(asked, gate, self.result.regimes[0].calls)
            if gain is not None:
                self.found.add(asked.finding, f"{gain:.1f} times faster {asked.detail}")

    def _check_kept(self, bench: Bench, gate: str) -> None:
        """A batch as any other, and all of its last outputs."""
        if not self.result.regimes:
            return
        order = self.result.regimes[0].order
        try:
            bench.window("candidate", order, gate)
        except HostSynchronisesError:
            bench.window("candidate", order, "host")
        correctness.check_kept(self.session, self.found)

    def _explain(self, bench: Bench, gate: str, detail: str) -> None:
        """A wrong timed batch of a candidate that was right when called alone: how it fools the clock."""
        name = "differs-when-timed"
        if gate == "stream":
            try:
                for _ in range(2):
                    bench.window("candidate", [0, 1] * 2, "host")
                name, detail = "unsynchronised", f"right when the inputs are there before the call, else {detail}"
            except WitnessError:
                pass
        self.found.add(name, detail)
