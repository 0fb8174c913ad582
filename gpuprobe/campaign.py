"""A whole run of microbenchmarks: kernels built and gated, probes measured one after another, results journaled."""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import gpuprobe
from gpuprobe.build import Cubin
from gpuprobe.errors import Exit, GpuprobeError
from gpuprobe.gate import Label, Verdict
from gpuprobe.gpu.protocol import Gpu
from gpuprobe.gpu.replay import Key, ReplayGpu, series_key
from gpuprobe.journal import Journal, digest, exclusive, state_dir
from gpuprobe.judge import Result
from gpuprobe.kernels import Kernel, Kernels, defines_key
from gpuprobe.measure import PLANS, Plan, Watcher, measure
from gpuprobe.probe import Mode, Probe
from gpuprobe.record import Environment, Params, Rejection, Run


class Observer(Watcher, Protocol):
    """Told of the start and end of each probe as well."""

    def begin(self, probe: Probe, index: int, count: int) -> None:
        """Probe ``index`` of ``count`` begins."""
        ...

    def end(self, probe: Probe, result: Result, *, resumed: bool) -> None:
        """A probe is finished, or was by an earlier process."""
        ...


Keep = Callable[[Run], None]
STALE_S = 6 * 3600.0
"""An interrupted campaign older than this is not gone on with: clocks, driver state and neighbours have changed."""


def run_live(
    gpu: Gpu,
    probes: Sequence[Probe],
    kernels: Kernels,
    mode: Mode,
    observer: Observer,
    *,
    keep: Keep,
    fresh: bool = False,
) -> Run:
    """Measure ``probes`` on ``gpu``, going on from an interrupted campaign of the same probes.

    ``keep`` writes the finished run; only then is the journal removed, and the GPU's lock let go of. Interrupted at any
    moment, the next call finds either the journal or the run.
    """
    environment = gpu.environment()
    folder = state_dir()
    identity = _identity(gpu, environment, probes, mode)
    path = folder / "journals" / f"{digest(repr(identity))}.jsonl"
    begin = time.perf_counter()
    with ExitStack() as stack:
        stack.enter_context(exclusive(folder / f"gpu-{digest(environment.gpu_uuid)}.lock", gpu.device.product))
        if fresh:
            path.unlink(missing_ok=True)
        journal = _journal(path, identity)
        stack.callback(lambda: journal.close(remove=False))
        journal.start(_header(gpu, environment))
        warnings = _warnings(environment, journal)
        results = _measure_all(gpu, probes, kernels, PLANS[mode], journal, observer)
        run = Run(
            run_id=journal.header["run_id"],
            started_at=journal.header["started_at"],
            source=gpu.source,
            mode=mode,
            device=gpu.device,
            environment=replace(environment, compiler=_compiler(kernels)),
            measurements=tuple(m for result in results for m in result.measurements),
            series=tuple(s for result in results for s in result.series),
            rejections=tuple(r for result in results for r in result.rejections),
            warnings=warnings,
            duration_s=time.perf_counter() - begin,
        )
        keep(run)
        path.unlink(missing_ok=True)
    return run


def _header(gpu: Gpu, environment: Environment) -> dict[str, str]:
    """What names a new campaign: its run and when it began."""
    now = datetime.now(UTC)
    run_id = f"{gpu.device.name}-{environment.gpu_uuid[:6]}-{now:%Y%m%dT%H%M%S}"
    return {"run_id": run_id, "started_at": now.isoformat(timespec="seconds")}


def _compiler(kernels: Kernels) -> str:
    """The compiler that made the kernels; all are made by the one that is installed."""
    return next((kernel.cubin.compiler for kernel in kernels.values() if kernel.cubin), "")


def _journal(path: Path, identity: Mapping[str, object]) -> Journal:
    """The journal at ``path``, emptied where it is stale."""
    journal = Journal(path, identity)
    started = journal.header.get("started_at")
    if started and (datetime.now(UTC) - datetime.fromisoformat(started)).total_seconds() > STALE_S:
        journal.close(remove=True)
        journal = Journal(path, identity)
    return journal


def replay(recording: Run, probes: Sequence[Probe], kernels: Kernels, mode: Mode, observer: Observer) -> Run:
    """Analyse a recorded run again, with the code that analysed it live; only probes it holds give numbers."""
    gpu = ReplayGpu(recording)
    recorded = {series.probe for series in recording.series} | {one.probe for one in recording.rejections}
    asked = {probe.name for probe in probes}
    results = []
    for index, probe in enumerate(probes):
        if probe.name not in recorded:
            continue
        observer.begin(probe, index, len(probes))
        known = _rejected_points(recording, probe, mode)
        result = _replayed(probe, kernels, gpu, PLANS[mode], recording.run_id, observer, known)
        observer.end(probe, result, resumed=False)
        results.append(result)
    return Run(
        run_id=recording.run_id,
        started_at=recording.started_at,
        source="replay",
        mode=recording.mode,
        device=recording.device,
        environment=recording.environment,
        measurements=tuple(m for result in results for m in result.measurements),
        series=tuple(series for series in recording.series if series.probe in asked),
        rejections=tuple(r for result in results for r in result.rejections),
        warnings=recording.warnings,
        duration_s=recording.duration_s,
    )


def _replayed(
    probe: Probe,
    kernels: Kernels,
    gpu: ReplayGpu,
    plan: Plan,
    seed: str,
    observer: Observer,
    known: Sequence[Rejection],
) -> Result:
    """``measure`` on a recording, whose columns are data from a file: what an estimator cannot digest is damage."""
    try:
        return measure(probe, kernels, gpu, plan, seed, observer, known)
    except (KeyError, ValueError, TypeError, ArithmeticError, IndexError) as error:
        raise GpuprobeError(
            f"the recorded samples of {probe.name} are damaged: {type(error).__name__}: {error}",
            f"replay the others with --probe, or record again with: gpuprobe microbench --probe {probe.name}",
        ) from error


def recorded_kernels(recording: Run, probes: Sequence[Probe], mode: Mode) -> Kernels:
    """The kernels that a recording was made with: their digests and labels; no compiler is needed to replay."""
    kernels = {}
    for probe in probes:
        for defines in probe.builds(mode, recording.device):
            held = [s for s in recording.series if s.probe == probe.name and defines.items() <= dict(s.params).items()]
            if held:
                digest = held[0].kernel
                cubin = Cubin(b"", digest, recording.device.architecture, recording.environment.compiler, digest)
                label: Label | None = "emulated" if held[0].label == "emulated" else "native"
                kernel = Kernel(probe.name, defines, cubin, Verdict(True, label, {}, ()))
            else:
                kernel = Kernel(probe.name, defines, None, Verdict.failed(_recorded_reason(recording, probe, defines)))
            kernels[probe.name, defines_key(defines)] = kernel
    return kernels


NOT_HELD = "the recording holds no samples of it: its parameters have changed since"


def _recorded_reason(recording: Run, probe: Probe, defines: Params) -> str:
    reasons = [one.reason for one in recording.rejections if one.probe == probe.name and one.params == defines]
    return reasons[0] if reasons else NOT_HELD


def _rejected_points(recording: Run, probe: Probe, mode: Mode) -> list[Rejection]:
    """Points that cannot be replayed: those that were rejected, and those that the probe did not have then."""
    held = {series_key(series.probe, series.params) for series in recording.series if series.probe == probe.name}
    points = [dict(point.params) for point in probe.points(mode, recording.device)]
    rejected = _recorded_rejections(recording, probe, points, held)
    kernel_axes = (*probe.defines, *probe.patches)
    built = {tuple(map(one.params.get, kernel_axes)) for one in recording.series if one.probe == probe.name}
    for params in points:
        if series_key(probe.name, params) in held or any(one.params.items() <= params.items() for one in rejected):
            continue
        kernel = tuple(map(params.get, kernel_axes))
        missing = params if kernel in built else {name: params[name] for name in kernel_axes}
        rejected.append(Rejection(probe.name, missing, NOT_HELD, left_out=True))
    return rejected


def _recorded_rejections(
    recording: Run, probe: Probe, points: Sequence[Params], held: Container[Key]
) -> list[Rejection]:
    """Recorded rejections of points (not of quantities: bounds are judged again): of one, or of any without samples."""
    rejections = [rejection for rejection in recording.rejections if rejection.probe == probe.name]
    return [
        rejection if series_key(probe.name, rejection.params) not in held else replace(rejection, left_out=False)
        for rejection in rejections
        if any(
            rejection.params == params
            or (rejection.params.items() <= params.items() and series_key(probe.name, params) not in held)
            for params in points
        )
    ]


def _measure_all(
    gpu: Gpu, probes: Sequence[Probe], kernels: Kernels, plan: Plan, journal: Journal, observer: Observer
) -> list[Result]:
    results = []
    for index, probe in enumerate(probes):
        observer.begin(probe, index, len(probes))
        earlier = journal.finished.get(probe.name)
        result = earlier or _one(gpu, probe, kernels, plan, journal.header["run_id"], observer)
        if earlier is None and result.measurements:  # what gave nothing is tried again by the next process
            journal.add(result)
        observer.end(probe, result, resumed=earlier is not None)
        results.append(result)
    return results


def _one(gpu: Gpu, probe: Probe, kernels: Kernels, plan: Plan, seed: str, observer: Observer) -> Result:
    """Measure one probe; a failure on the GPU is that probe's rejection, unless the machine itself lacks something."""
    try:
        return measure(probe, kernels, gpu, plan, seed=seed, watcher=observer)
    except GpuprobeError as error:
        if error.exit_code is Exit.MACHINE_LACKS:
            raise
        return Result(probe.name, (), (), (Rejection(probe.name, {}, str(error)),))


def _identity(gpu: Gpu, environment: Environment, probes: Sequence[Probe], mode: Mode) -> dict[str, object]:
    return {
        "gpuprobe": gpuprobe.__version__,
        "gpu": environment.gpu_uuid,
        "driver": environment.driver,
        "packages": dict(environment.packages),
        "mode": mode,
        "plan": asdict(PLANS[mode]),
        "probes": {probe.name: digest(probe.source() + probe.path.read_text(encoding="utf-8")) for probe in probes},
    }


def _warnings(environment: Environment, journal: Journal) -> tuple[str, ...]:
    """What a reader of the run must know: other users of the GPU, and what an earlier process measured."""
    others, finished, began = environment.other_processes, len(journal.finished), journal.header["started_at"]
    shared = f"{others} other processes use this GPU: every value is flagged shared_gpu"
    resumed = f"{finished} probes were measured by an interrupted process that began at {began}"
    return (*([shared] if others else []), *([resumed] if finished else []))


def default_path(run: Run) -> Path:
    """Where a run is kept when no -o names a file."""
    return state_dir() / "runs" / f"{run.run_id}.json.gz"
