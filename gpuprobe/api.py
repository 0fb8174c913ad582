"""What the command line does, as functions; ``gpuprobe`` itself offers them (``from gpuprobe import load``).

Nothing here prints. Results are plain objects of the layers below; those that are tables have ``to_frame()`` (pandas)
and show themselves in notebooks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from gpuprobe import tabular
from gpuprobe.comparison import Comparison
from gpuprobe.comparison import compare as compare_runs
from gpuprobe.errors import GpuprobeError
from gpuprobe.profile import DeviceProfile
from gpuprobe.record import Run
from gpuprobe.report.sources import read_content
from gpuprobe.roofline import Placed, Roofline, place, roofline_of, to_document

if TYPE_CHECKING:
    import pandas as pd

    from gpuprobe.estimate import Estimate
    from gpuprobe.gpu.real import RealGpu
    from gpuprobe.judge import Result
    from gpuprobe.ops.gemm import Gemm
    from gpuprobe.predict import Predictor
    from gpuprobe.probe import Mode, Probe
    from gpuprobe.record import Sample
    from gpuprobe.trace.model import Trace

# ruff: noqa: PLC0415 - each function loads what it needs: a notebook about traces never loads CuPy

File = str | PathLike[str]
Gemms = Iterable[Sequence[int]]


def open_gpu(index: int = 0) -> RealGpu:
    """The GPU of a number in CUDA's order, to be closed (``with``); GpuprobeError with the remedy where it can't be."""
    from gpuprobe.gpu.real import RealGpu

    return RealGpu(index)


def microbench(
    *probes: str,
    gpu: int | RealGpu | None = None,
    replay: File | None = None,
    arch: str | None = None,
    full: bool | None = None,
    progress: Callable[[str], None] | None = None,
) -> Run:
    """Measure a GPU with the probes whose names match (default: all), or replay a recording; ``Run.source`` says which.

    ``gpu`` insists on measuring that GPU here. Otherwise a file is replayed (``replay``), else GPU 0 is measured where
    there is one, else the shipped recording of ``arch`` (default sm_90) is analysed. ``progress`` is told what goes on.
    """
    from gpuprobe.probe import select

    if gpu is not None and replay is not None:
        raise GpuprobeError("a GPU is measured or a recording replayed, not both", "pass gpu= or replay=")
    chosen = select(probes)
    say = progress or _nothing
    mode: Mode | None = None if full is None else "full" if full else "quick"
    if replay is None and (gpu is not None or _has_gpu()):
        if not isinstance(gpu, int | None):
            return _measure(gpu, chosen, mode or "quick", say)
        with open_gpu(gpu or 0) as opened:
            return _measure(opened, chosen, mode or "quick", say)
    return _replay(Path(replay) if replay is not None else _shipped(arch or "sm_90"), chosen, mode, say)


def _nothing(_message: str) -> None:
    """Where nobody listens."""


def _has_gpu() -> bool:
    """Whether a GPU is here that this environment can measure."""
    from gpuprobe.gpu import nvml
    from gpuprobe.gpu.real import cupy_module

    try:
        return bool(nvml.devices()) and cupy_module() is not None
    except GpuprobeError:
        return False


def _shipped(name: str) -> Path:
    from gpuprobe import arch, recordings

    found = recordings.shipped(arch.parse(name))
    if found is None:
        raise GpuprobeError(f"no recording of {name} is shipped, and no GPU is here", "pass replay= or arch='sm_90'")
    return found


def _measure(gpu: RealGpu, probes: Sequence[Probe], mode: Mode, say: Callable[[str], None]) -> Run:
    from gpuprobe import arch, campaign
    from gpuprobe.kernels import build_kernels
    from gpuprobe.run_files import write_run

    here = arch.parse(gpu.device.architecture)
    chosen = [probe for probe in probes if probe.runs_on(here)]
    say(f"building {len(chosen)} probes for {here.target}")
    kernels = build_kernels(chosen, here, mode, gpu.device)
    return campaign.run_live(
        gpu, chosen, kernels, mode, _Listener(say), keep=lambda run: write_run(run, campaign.default_path(run))
    )


def _replay(path: Path, probes: Sequence[Probe], mode: Mode | None, say: Callable[[str], None]) -> Run:
    from gpuprobe import arch, campaign
    from gpuprobe.run_files import read_run

    recording = read_run(path)
    here = arch.parse(recording.device.architecture)
    recorded = {row.probe for row in recording.series} | {one.probe for one in recording.rejections}
    chosen = [probe for probe in probes if probe.name in recorded and probe.runs_on(here)]
    if not chosen:
        raise GpuprobeError(f"{path} holds none of these probes", f"it holds: {', '.join(sorted(recorded))}")
    plan: Mode = "quick" if "quick" in (mode, recording.mode) else "full"
    kernels = campaign.recorded_kernels(recording, chosen, plan)
    return campaign.replay(recording, chosen, kernels, plan, _Listener(say))


class _Listener:
    """A campaign's observer that tells one line for each probe."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say

    def begin(self, probe: Probe, index: int, count: int) -> None:
        """A probe begins."""
        self._say(f"{index + 1}/{count} {probe.name}")

    def round(self, probe: Probe, done: int, most: int, estimate: Estimate, sample: Sample) -> None:
        """A round is over: nothing to tell."""

    def end(self, probe: Probe, result: Result, *, resumed: bool) -> None:
        """A probe is finished; its rejections are told."""
        for rejection in result.rejections:
            self._say(f"{probe.name}: no result: {rejection.reason}")


def load(path: File) -> Run | Trace | DeviceProfile:
    """What a file holds, told apart by its content: a run, a trace of any format, or a device profile."""
    return read_content(Path(path))


def load_run(path: File) -> Run:
    """The run in a file; GpuprobeError where it holds something else."""
    from gpuprobe.run_files import read_run

    return read_run(Path(path))


def load_trace(path: File) -> Trace:
    """The trace in a file: own, torch.profiler or Chrome JSON, Nsight Systems SQLite."""
    from gpuprobe.trace.read import read_trace

    return read_trace(Path(path))


def load_profile(gpu: str | File | Run) -> DeviceProfile:
    """The profile of a GPU by name (``h100-sxm``), of a run, or from a run or profile file."""
    from gpuprobe import profile_files, profile_of_run

    return profile_of_run.profile_of(gpu) if isinstance(gpu, Run) else profile_files.load(str(gpu))


def compare(
    a: Run | File | Sequence[Run | File],
    b: Run | File | Sequence[Run | File],
    *,
    min_effect: float = 0.01,
    confidence: float = 0.95,
) -> Comparison:
    """State b beside state a, a verdict for each quantity, with the run-to-run noise that the probes declare.

    A state is a run or its file, or several of them: repeats of one state, whose mean is less noisy.
    """
    from gpuprobe.floors import declared

    left, right = _runs(a), _runs(b)
    return compare_runs(left, right, min_effect=min_effect, confidence=confidence, floors=declared(*left))


def _runs(state: Run | File | Sequence[Run | File]) -> list[Run]:
    listed = [state] if isinstance(state, Run | str | PathLike) else state
    return [one if isinstance(one, Run) else load_run(one) for one in listed]


class Analysis(dict[str, Any]):
    """The document of an analysed trace (keys in docs/trace.md); its tables as DataFrames by name."""

    def to_frame(self, part: str = "kernels") -> pd.DataFrame:
        """A part that is a list of rows as a DataFrame; GpuprobeError where the document has no such table."""
        rows: Any = self.get(part)
        if isinstance(rows, dict):
            rows = next((value for value in rows.values() if _is_table(value)), None)
        if not _is_table(rows):
            raise GpuprobeError(f"the analysis has no table '{part}'", f"its parts: {', '.join(self)}")
        return tabular.frame(rows)

    def _repr_html_(self) -> str:
        """What the analysis holds."""
        rows = [
            (key, str(value) if isinstance(value, str | int | float) else _size(value)) for key, value in self.items()
        ]
        return tabular.html(f"Trace {self.get('file', '')}", ("part", "content"), rows)


def _is_table(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(row, dict) for row in value)


def _size(value: Any) -> str:
    return f"{len(value)} entries" if isinstance(value, dict | list) else str(value)


def analyze(trace: Trace | File) -> Analysis:
    """Every analysis of a trace: where the time goes, idle by cause, queueing, launches, critical path, roofline."""
    from gpuprobe.trace.analyze import analyze as analysed

    return Analysis(analysed(_trace(trace)))


def compare_traces(a: Trace | File, b: Trace | File) -> Analysis:
    """Trace b beside trace a by kernel, operator, phase and API call, tested over steps where there are enough."""
    from gpuprobe.trace.diff import diff

    return Analysis(diff(_trace(a), _trace(b)))


def _trace(trace: Trace | File) -> Trace:
    return load_trace(trace) if isinstance(trace, str | PathLike) else trace


class RooflinePicture(NamedTuple):
    """A roofline with GEMMs on it: the numbers, and ``svg``, which notebooks show."""

    roofline: Roofline
    placed: tuple[Placed, ...]
    svg: str

    def __repr__(self) -> str:
        return f"<roofline of {self.roofline.product}, {len(self.placed)} GEMMs>"

    def document(self) -> dict[str, Any]:
        """The JSON document of ``gpuprobe roofline --json``."""
        return to_document(self.roofline, self.placed)

    def _repr_html_(self) -> str:
        """The picture."""
        return self.svg


def draw_roofline(gpu: str | File | Run | DeviceProfile, gemms: Gemms = (), dtype: str = "bf16") -> RooflinePicture:
    """The hierarchical roofline of a GPU, with GEMMs (m, n, k) placed by their predicted time, operands in DRAM."""
    from gpuprobe.ops.gemm import Gemm
    from gpuprobe.predict import Predictor
    from gpuprobe.report.figures.hierarchy import hierarchy, standalone

    profile = gpu if isinstance(gpu, DeviceProfile) else load_profile(gpu)
    found = roofline_of(profile)
    if not found.ceilings or not found.slopes:
        raise GpuprobeError(
            f"{profile.name} has no peak or no bandwidth to draw", "measure it with: gpuprobe microbench"
        )
    asked = [Gemm(int(m), int(n), int(k), dtype) for m, n, k in gemms]
    predictor = Predictor.load(profile.name) if asked else None
    placed = tuple(place(found, one, _cold(predictor, one)) for one in asked if predictor is not None)
    return RooflinePicture(found, placed, standalone(hierarchy(found, placed)))


def _cold(predictor: Predictor, gemm: Gemm) -> tuple[float, float, float]:
    cold = predictor.gemm(gemm.m, gemm.n, gemm.k, gemm.dtype, gemm.layout).cold
    return cold.value, cold.low, cold.high


def write_report(path: File, *inputs: File) -> Path:
    """Write one self-contained HTML page about runs, traces and models; gives its path."""
    from gpuprobe.files import write_atomically
    from gpuprobe.report.page import render
    from gpuprobe.report.sources import read

    if not inputs:
        raise GpuprobeError("a report needs a run, a trace or a model", "write_report('page.html', 'run.json.gz')")
    command = " ".join(["gpuprobe report", *map(str, inputs), "-o", str(path)])
    write_atomically(Path(path), render([read(Path(one)) for one in inputs], command).encode("utf-8", "replace"))
    return Path(path)


def recording(gpu: str = "h100-sxm") -> Path:
    """The path of a recorded run that ships, by the GPU's name; GpuprobeError where there is none."""
    from gpuprobe import resources

    path = resources.folder("reports") / gpu / "run.json.gz"
    if not path.is_file():
        known = sorted(one.parent.name for one in resources.folder("reports").glob("*/run.json.gz"))
        raise GpuprobeError(f"no recording of '{gpu}' ships", f"there are: {', '.join(known)}")
    return path


def recorded_trace(gpu: str = "h100-sxm") -> Path:
    """The path of a recorded trace of a language model that ships for a GPU; GpuprobeError where there is none."""
    from gpuprobe import resources

    found = sorted((resources.folder("reports") / gpu).glob("*.gptrace"))
    if not found:
        raise GpuprobeError(f"no trace of '{gpu}' ships", "record one with: gpuprobe trace record -- COMMAND")
    return found[0]


def kernel_sweeps(gpu: str = "h100-sxm") -> list[Path]:
    """The paths of the sweeps of kernel configurations that ship for a GPU, for ``gpuprobe.tune.read_sweeps``."""
    from gpuprobe import resources

    found = sorted((resources.folder("models") / "data" / gpu).glob("tiles-*.jsonl.gz"))
    if not found:
        raise GpuprobeError(f"no sweep of kernels ships for '{gpu}'", "there are some of h100-sxm")
    return found


def model_card(gpu: str = "h100-sxm") -> Path:
    """The path of the card of a GPU's models: data, licence, domain, errors on what they have not seen."""
    from gpuprobe import resources

    path = resources.folder("models") / gpu / "card.json"
    if not path.is_file():
        known = sorted(one.parent.name for one in resources.folder("models").glob("*/card.json"))
        raise GpuprobeError(f"no model of '{gpu}' ships", f"there are: {', '.join(known)}")
    return path
