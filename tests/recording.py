"""Probes, kernels and GPUs made of formulas: the tests of measuring, campaigns and the command need no device."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from gpuprobe import device as catalogue
from gpuprobe import resources
from gpuprobe.build import Cubin
from gpuprobe.estimate import Point, latency
from gpuprobe.files import encode
from gpuprobe.gate import Verdict
from gpuprobe.gpu.protocol import Job, Outcome
from gpuprobe.gpu.synthetic import Model, SyntheticGpu
from gpuprobe.kernels import Kernel, Kernels, defines_key
from gpuprobe.measure import Plan
from gpuprobe.probe import Launch, Mode, Probe
from gpuprobe.record import DeviceSpec, Environment, Params, Run, Sample
from gpuprobe.run_files import from_document, to_document
from gpuprobe.stats import StopRule

CLOCK_HZ = 1.755e9
LAUNCH_S = 20e-6
SOURCE = resources.folder("microbench") / "compute" / "ffma_latency.py"
ENVIRONMENT = Environment(driver="580.1", gpuprobe="0", gpu_uuid="0" * 16, packages={"numpy": "2"})


def h100() -> DeviceSpec:
    """The catalogue's H100 SXM."""
    return catalogue.load("h100-sxm")


def chain_probe(name: str = "chain", **changes: Any) -> Probe:
    """A latency probe with three chain lengths; its files are those of a real one."""
    defaults: dict[str, Any] = {
        "unit": "cycle",
        "defines": {"CHAIN": [32, 64, 96]},
        "launch": Launch(iters=100),
        "estimate": latency(),
        "kernel": "ffma_latency",
        "path": SOURCE,
        "doc": "Latency of a chain.",
    }
    return Probe(name=name, **{**defaults, **changes})


def verdict(reason: str = "", label: str = "native") -> Verdict:
    """What the gate says: passed, or rejected for ``reason``."""
    return Verdict.failed(reason) if reason else Verdict(True, label, {}, ())  # type: ignore[arg-type]


def kernels_of(
    probes: Iterable[Probe],
    mode: Mode = "full",
    device: DeviceSpec | None = None,
    verdicts: Callable[[Probe, Params], Verdict] = lambda probe, params: verdict(),
) -> Kernels:
    """Kernels of ``probes`` as if built, each with the verdict that ``verdicts`` gives it."""
    kernels = {}
    for probe in probes:
        for params in probe.builds(mode, device or h100()):
            name = f"{probe.name}{sorted(params.items())}"
            cubin = Cubin(b"cubin", name, "sm_90a", "nvrtc", name)
            kernels[probe.name, defines_key(params)] = Kernel(probe.name, params, cubin, verdicts(probe, params))
    return kernels


def chain_sample(point: Point, cycles_each: float = 4.0, overhead: float = 23.0, **changes: Any) -> Sample:
    """A sample of a chain: cycles each instruction, and an overhead of each pass that a slope must cancel."""
    cycles = point.iters * (point.number("CHAIN") * cycles_each + overhead)
    seconds = cycles / CLOCK_HZ
    sample = Sample(cycles, cycles, seconds, seconds + LAUNCH_S, CLOCK_HZ, power_w=300.0, temperature_c=40.0)
    return replace(sample, **changes)


def chain_model(cycles_each: float = 4.0, noise: float = 0.0, seed: int = 0, **changes: Any) -> Model:
    """Samples of a chain with normal noise of ``noise`` (relative) that a seed repeats."""
    source = random.Random(seed)

    def model(point: Point, index: int) -> Sample:
        return chain_sample(point, cycles_each * (1 + noise * source.gauss(0, 1)), **changes)

    return model


def gpu_of(model: Model, **environment: Any) -> SyntheticGpu:
    """A synthetic H100 that answers with ``model``."""
    return SyntheticGpu(h100(), model, replace(ENVIRONMENT, **environment))


def plan(width: float = 0.005, least: int = 11, most: int = 31, mode: Mode = "full") -> Plan:
    """A plan that time does not end."""
    return Plan(mode, StopRule(width, least, most, max_seconds=600.0))


class ComputingGpu(SyntheticGpu):
    """A synthetic GPU whose kernels also store something: what ``out`` gives for a job."""

    def __init__(self, model: Model, out: Callable[[Job], bytes | None]) -> None:
        super().__init__(h100(), model, ENVIRONMENT)
        self._out = out
        self.jobs: list[Job] = []

    def run(self, job: Job) -> Outcome:
        """The model's sample with the stored bytes."""
        self.jobs.append(job)
        return Outcome(super().run(job).sample, self._out(job))


def unkept(run: Run) -> None:
    """Keeps a finished run nowhere."""


class Watching:
    """An observer that writes down what it is told."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.measured: list[str] = []
        self.resumed: list[str] = []
        self.rounds: list[tuple[str, int]] = []

    def begin(self, probe: Probe, index: int, count: int) -> None:
        """A probe begins."""
        self.begun.append(probe.name)

    def round(self, probe: Probe, done: int, most: int, estimate: object, sample: Sample) -> None:
        """A round is over."""
        self.rounds.append((probe.name, done))

    def end(self, probe: Probe, result: object, *, resumed: bool) -> None:
        """A probe is finished."""
        (self.resumed if resumed else self.measured).append(probe.name)


def through_file(run: Run) -> Run:
    """The run as its file gives it back."""
    return from_document(json.loads(encode(to_document(run), compress=False)))


def numbers_of(run: Run) -> Mapping[object, tuple[float, float, float, int, tuple[float, ...]]]:
    """Every measurement's value, interval and samples by its key: what a replay must repeat bit for bit."""
    return {(m.key, m.unit): (m.value, m.low, m.high, m.n, m.samples) for m in run.measurements}


def write_probe(folder: Path, name: str, text: str, source: str = "") -> Path:
    """A probe's pair of files in ``folder``; no source where none is given."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.py").write_text(text, encoding="utf-8")
    if source:
        (folder / f"{name}.cu").write_text(source, encoding="utf-8")
    return folder / f"{name}.py"


def flat(values: Sequence[Sequence[object]]) -> list[object]:
    """All values of several sequences."""
    return [value for row in values for value in row]
