"""``gpuprobe microbench``: build and gate the probes, measure a GPU or replay a recording, print the table."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gpuprobe.cli.output import Progress, emit_json, json_option, note, output_option, write_output
from gpuprobe.errors import Exit, GpuprobeError
from gpuprobe.report.format import quantity

if TYPE_CHECKING:
    from gpuprobe.arch import Architecture
    from gpuprobe.estimate import Estimate
    from gpuprobe.gpu.real import RealGpu
    from gpuprobe.judge import Result
    from gpuprobe.kernels import Kernels
    from gpuprobe.probe import Mode, Probe
    from gpuprobe.record import DeviceSpec, Run, Sample


@click.command()
@click.option("--arch", "arch_name", metavar="ARCH", help="Architecture: sm80, sm86, sm89, sm90. Default: the GPU's.")
@click.option("--probe", "patterns", metavar="GLOB", multiple=True, help="Only probes that match; may be repeated.")
@click.option("--list", "list_only", is_flag=True, help="List the probes and stop.")
@click.option("--quick/--full", "quick", default=None, help="Fewer points and samples, or all. Default: quick.")
@click.option("--live", is_flag=True, help="Insist on measuring a GPU here; exit 3 without one.")
@click.option("--build-only", is_flag=True, help="Build the kernels and check their SASS; measure nothing.")
@click.option("--replay", "recording", type=click.Path(path_type=Path), metavar="FILE", help="Replay a recorded run.")
@click.option("--device", "index", default=0, show_default=True, help="Which GPU, in CUDA's numbering.")
@click.option("--fresh", is_flag=True, help="Forget what an interrupted run of this command has measured.")
@click.option("--all", "every_row", is_flag=True, help="Every row of the table, not the best of each grid.")
@click.option(
    "--against", type=click.Choice(["published"]), help="Show published values beside ours, with the reasons."
)
@click.option("--fail-on", type=click.Choice(["outside"]), help="Exit 1 if a value is OUTSIDE; with --against.")
@json_option
@output_option
def command(
    *,
    arch_name: str | None,
    patterns: tuple[str, ...],
    list_only: bool,
    quick: bool | None,
    live: bool,
    build_only: bool,
    recording: Path | None,
    index: int,
    fresh: bool,
    every_row: bool,
    against: str | None,
    fail_on: str | None,
    as_json: bool,
    output: Path | None,
) -> Exit:
    """Measure a GPU with the probes of microbench/, each gated by its machine code.

    Without a GPU the probes are built and checked all the same, and the recording of a real one is analysed; the first
    line says so. An interrupted run keeps every finished probe: the same command goes on from there.
    """
    from gpuprobe import arch
    from gpuprobe.probe import select

    if sum((live, build_only, recording is not None)) > 1:
        raise click.UsageError("--live, --build-only and --replay exclude each other")
    if list_only and (live or build_only or recording is not None or fresh or output is not None):
        raise click.UsageError("--list goes with --arch, --probe and --json only")
    if fail_on and not against:
        raise click.UsageError("--fail-on goes with --against published")
    if against and (list_only or build_only):
        raise click.UsageError("--against is for values: it does not go with --list or --build-only")
    if fresh and (build_only or recording is not None):
        raise click.UsageError("--fresh is for measuring: it does not go with --build-only or --replay")
    probes = select(patterns)
    architecture = arch.parse(arch_name) if arch_name else None
    if list_only:
        return _list(probes, architecture, as_json=as_json)
    show = _Show(every_row=every_row, as_json=as_json, output=output, against=against, fail_on=fail_on)
    mode: Mode | None = None if quick is None else "quick" if quick else "full"
    if build_only:
        return _build_only(probes, architecture or arch.parse("sm_90"), mode or "full", show)
    if recording is None:
        gpu, why = _gpu(index, architecture, insist=live)
        if gpu is not None:
            with gpu:
                return _live(gpu, probes, mode or "quick", show, fresh=fresh)
        return _without_gpu(probes, architecture or arch.parse("sm_90"), mode, show, why)
    return _replay(recording, probes, architecture, mode, show, f"replay of {recording}")


class _Show:
    """How the result is shown: table or document, and a file beside it."""

    def __init__(
        self, *, every_row: bool, as_json: bool, output: Path | None, against: str | None, fail_on: str | None
    ) -> None:
        self.every_row, self.as_json, self.output = every_row, as_json, output
        self.against, self.fail_on = against, fail_on

    def headline(self, text: str) -> None:
        """The first line: what these numbers are. On stderr where stdout is a document."""
        if self.as_json:
            note(text)
        else:
            print(text)

    def run(self, run: Run, probes: Sequence[Probe]) -> Exit:
        """Show a run, and write it to the file asked for."""
        from gpuprobe.cli import run_view

        is_run = self.output is not None and self.output.name.endswith((".json", ".json.gz"))
        if self.output is not None and (is_run or not self.against):
            run_view.write(run, probes, self.output)
        if self.against:
            return self._beside_published(run, None if is_run else self.output)
        if self.as_json:
            emit_json(run_view.document(run, probes))
        else:
            run_view.show(run, probes, every_row=self.every_row)
        return Exit.CHECK_FAILED if run.rejections else Exit.DONE

    def _beside_published(self, run: Run, output: Path | None) -> Exit:
        """Show a run beside published values, and write that table; with --fail-on, exit 1 where one is OUTSIDE."""
        from gpuprobe.cli import against

        document, (columns, rows), verdicts = against.rows_of(run)
        if output is not None:
            write_output(output, document, columns, rows)
        if self.as_json:
            emit_json(document)
        else:
            against.show(columns, rows, verdicts)
        failed = self.fail_on is not None and bool(against.FAILING & set(verdicts))
        return Exit.CHECK_FAILED if failed else Exit.DONE


def _list(probes: Sequence[Probe], architecture: Architecture | None, *, as_json: bool) -> Exit:
    from gpuprobe.cli import run_view

    chosen = [probe for probe in probes if architecture is None or probe.runs_on(architecture)]
    run_view.list_probes(chosen, as_json=as_json)
    return Exit.DONE


def _gpu(index: int, architecture: Architecture | None, *, insist: bool) -> tuple[RealGpu | None, str]:
    """The GPU to measure, or None and why not; a GPU that is there but cannot be measured is an error."""
    from gpuprobe import arch
    from gpuprobe.gpu import nvml
    from gpuprobe.gpu.real import RealGpu, cupy_module

    try:
        found = nvml.devices()
    except GpuprobeError as error:
        if insist:
            raise
        return None, error.message
    if not found:
        if insist:
            raise GpuprobeError("no GPU here", "see what is missing with: gpuprobe doctor", Exit.MACHINE_LACKS)
        return None, "no GPU here"
    if architecture is not None and all(one.architecture != architecture.name for one in found) and not insist:
        return None, f"the GPU here is {found[0].name} ({found[0].architecture}), not {architecture.name}"
    try:
        cupy_module()
    except GpuprobeError as error:
        if insist:
            raise
        return None, f"{found[0].name} is here, but {error.message}: {error.hint}"
    gpu = RealGpu(index)
    here = arch.parse(gpu.device.architecture)
    if architecture is None or here.name == architecture.name:
        return gpu, ""
    why = f"the GPU here is {gpu.device.product} ({here.name}), not {architecture.name}"
    gpu.close()
    if insist:
        raise GpuprobeError(why, f"measure it with: gpuprobe microbench --arch {here.name}", Exit.MACHINE_LACKS)
    return None, why


def _existing(probes: Sequence[Probe], architecture: Architecture) -> list[Probe]:
    """The probes that exist on ``architecture``; GpuprobeError where none does."""
    chosen = [probe for probe in probes if probe.runs_on(architecture)]
    if not chosen:
        names = ", ".join(probe.name for probe in probes)
        raise GpuprobeError(
            f"none of these probes exists on {architecture.name}: {names}",
            f"list those that do with: gpuprobe microbench --list --arch {architecture.name}",
        )
    return chosen


def _build(probes: Sequence[Probe], architecture: Architecture, mode: Mode, device: DeviceSpec) -> Kernels:
    """The kernels of ``probes``, built and gated; a progress note says how long it took."""
    from gpuprobe.kernels import build_kernels

    begin = time.perf_counter()
    with Progress() as progress:
        progress.update(f"building {len(probes)} probes for {architecture.target}")
        kernels = build_kernels(probes, architecture, mode, device)
    if all(kernel.cubin is None for kernel in kernels.values()):
        note(f"not built here: {next(iter(kernels.values())).verdict.reasons[0]}")
        return kernels
    failed = sum(not kernel.ok for kernel in kernels.values())
    note(
        f"built {len(kernels)} kernels of {len(probes)} probes for {architecture.target} in "
        f"{time.perf_counter() - begin:.1f} s; SASS gate: {len(kernels) - failed} passed, {failed} rejected"
    )
    return kernels


def _build_only(probes: Sequence[Probe], architecture: Architecture, mode: Mode, show: _Show) -> Exit:
    from gpuprobe.cli import run_view

    device = _example(architecture)
    kernels = _build(_existing(probes, architecture), architecture, mode, device)
    run_view.show_kernels(kernels, architecture, as_json=show.as_json, output=show.output)
    return Exit.DONE if all(kernel.ok for kernel in kernels.values()) else Exit.CHECK_FAILED


def _example(architecture: Architecture) -> DeviceSpec:
    """A product of the catalogue with this architecture, to resolve parameter grids with."""
    from gpuprobe import device

    names = device.for_architecture(architecture)
    if not names:
        raise GpuprobeError(f"no GPU of the catalogue has {architecture.name}", "add one: docs/architecture.md")
    return device.load(names[0])


def _live(gpu: RealGpu, probes: Sequence[Probe], mode: Mode, show: _Show, *, fresh: bool) -> Exit:
    from gpuprobe import arch, campaign
    from gpuprobe.run_files import write_run

    here = arch.parse(gpu.device.architecture)
    chosen = _existing(probes, here)
    kernels = _build(chosen, here, mode, gpu.device)
    environment = gpu.environment()
    show.headline(f"Measuring {gpu.device.product}, driver {environment.driver}, {mode}: {len(chosen)} probes")
    with Progress() as progress:
        run = campaign.run_live(
            gpu,
            chosen,
            kernels,
            mode,
            _Observer(progress),
            keep=lambda run: write_run(run, campaign.default_path(run)),
            fresh=fresh,
        )
    note(f"raw samples kept in {campaign.default_path(run)} ({run.duration_s:.0f} s of measuring)")
    return show.run(run, chosen)


def _without_gpu(probes: Sequence[Probe], architecture: Architecture, mode: Mode | None, show: _Show, why: str) -> Exit:
    """Build and gate; then replay the shipped recording of this architecture, else show published values."""
    from gpuprobe.cli import run_view
    from gpuprobe.recordings import shipped

    recording = shipped(architecture)
    if recording is not None:
        return _replay(recording, probes, architecture, mode or "quick", show, why)
    chosen = _existing(probes, architecture)
    show.headline(
        f"Not measured by this project: published values for {architecture.name} "
        f"({why}; no recording of one is shipped)"
    )
    kernels = _build(chosen, architecture, mode or "full", _example(architecture))
    run_view.show_published(chosen, kernels, architecture, as_json=show.as_json, output=show.output)
    return Exit.DONE if all(kernel.ok for kernel in kernels.values()) else Exit.CHECK_FAILED


def _replay(
    path: Path, probes: Sequence[Probe], architecture: Architecture | None, mode: Mode | None, show: _Show, why: str
) -> Exit:
    from gpuprobe import arch, campaign
    from gpuprobe.run_files import read_run

    recording = read_run(path)
    here = arch.parse(recording.device.architecture)
    if architecture is not None and here.name != architecture.name:
        raise GpuprobeError(
            f"{path} is a recording of {recording.device.product} ({here.name}), not of {architecture.name}",
            f"replay it with: gpuprobe microbench --arch {here.name} --replay {path}",
        )
    chosen_mode: Mode = "quick" if "quick" in (mode, recording.mode) else "full"
    recorded = {row.probe for row in recording.series} | {one.probe for one in recording.rejections}
    held = [probe for probe in probes if probe.name in recorded]
    if not held:
        raise GpuprobeError(
            f"{path} holds none of these probes: {', '.join(probe.name for probe in probes)}",
            "see what it holds with: gpuprobe microbench --replay FILE",
        )
    chosen = _existing(held, here)
    show.headline(
        f"Replaying the recording of {recording.device.product}, driver {recording.environment.driver}, "
        f"taken {recording.started_at[:10]} ({why})"
    )
    _build(chosen, here, chosen_mode, recording.device)  # today's kernels are looked at, the recorded ones replayed
    kernels = campaign.recorded_kernels(recording, chosen, chosen_mode)
    with Progress() as progress:
        run = campaign.replay(recording, chosen, kernels, chosen_mode, _Observer(progress))
    return show.run(run, chosen)


class _Observer:
    """Puts the campaign on the progress line: estimate so far, clock, power, time left."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._begin = time.perf_counter()
        self._index = self._count = 0

    def begin(self, probe: Probe, index: int, count: int) -> None:
        """A probe begins."""
        self._index, self._count = index, count
        self._progress.update(f"{index + 1}/{count} {probe.name}: warming up{self._left()}")

    def round(self, probe: Probe, done: int, most: int, estimate: Estimate, sample: Sample) -> None:
        """A round is over."""
        clock = f", {sample.sm_clock_hz / 1e6:.0f} MHz" if sample.sm_clock_hz else ""
        power = f", {sample.power_w:.0f} W" if sample.power_w else ""
        self._progress.update(
            f"{self._index + 1}/{self._count} {probe.name} round {done}/{most}: "
            f"{quantity(estimate.value, estimate.unit)}{clock}{power}{self._left()}"
        )

    def end(self, probe: Probe, result: Result, *, resumed: bool) -> None:
        """A probe is finished."""
        if resumed:
            self._progress.line(f"{probe.name}: measured before the interruption")
        for rejection in result.rejections:
            self._progress.line(f"{probe.name}: no result: {rejection.reason}")

    def _left(self) -> str:
        if not self._index:
            return ""
        elapsed = time.perf_counter() - self._begin
        return f", about {elapsed / self._index * (self._count - self._index):.0f} s left"
