"""The declaration of a probe, its parameter grid, and the discovery of ``microbench/``.

A probe is a pair of files, ``ffma_latency.cu`` and ``ffma_latency.py``; the module's docstring is what
``gpuprobe explain`` prints, its ``PROBE`` what is built, gated, run and analysed.
"""

from __future__ import annotations

import importlib.util
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any, Literal

from gpuprobe import arch, resources
from gpuprobe.arch import Architecture
from gpuprobe.errors import GpuprobeError
from gpuprobe.estimate import Estimate, Estimator, Method, Place, Point, TensorMap
from gpuprobe.gate import Expect
from gpuprobe.record import DeviceSpec, Param, Params, Sample

Mode = Literal["quick", "full"]
Size = int | Callable[[Params, DeviceSpec], int]
Axis = Sequence[Param] | Callable[[DeviceSpec], Sequence[Param]]
Bound = Callable[[Estimate, DeviceSpec, Architecture, float | None], float | None]
Check = Callable[[Point, int, bytes], str | None]
Reduce = Callable[[Point, bytes], Mapping[str, float]]
Patch = Callable[[Params, bytes], bytes]
Refuse = Callable[[Point, Sample], str | None]
MOST_NAMED = 6
"""Probes that a message names at most."""


@dataclass(frozen=True)
class Published:
    """A published value to stand beside ours: ``device`` as in devices/, the value in ``unit`` (default: the probe's).

    ``params`` need only name the axes that matter. ``method`` says how it was got; ``reason`` why ours is known to lie
    outside ``tolerance`` (relative), where it does: it must explain the difference, not only name one.
    """

    device: str
    value: float
    source: str
    params: Params = field(default_factory=dict)
    quantity: str = "latency"
    unit: str = ""
    method: str = ""
    tolerance: float = 0.03
    reason: str = ""

    def beyond(self, axes: Sequence[str]) -> Published:
        """The same value without its settings of ``axes``, over which the best was searched."""
        return replace(self, params={name: value for name, value in self.params.items() if name not in axes})


@dataclass(frozen=True)
class Launch:
    """How a probe is launched: numbers, or functions of the parameters and the device.

    ``block`` threads, ``data_bytes`` of working set, ``iters`` passes through the timed body, ``shared_bytes`` of
    dynamic shared memory. ``cluster`` blocks are launched as a cluster (0: none, or those of the kernel's own
    ``__cluster_dims__(n)``); ``cooperative`` asks for all blocks to run at once; ``place`` says where the working set
    lies; ``tensor_map`` describes the tensor in it to TMA; ``carveout`` is the share of L1 asked for as shared
    memory, in percent (-1: the driver's choice).
    """

    grid: Size = 1
    block: Size = 32
    data_bytes: Size = 0
    iters: Size = 1
    shared_bytes: Size = 0
    cluster: Size = 0
    cooperative: bool = False
    place: Place | Callable[[Params, DeviceSpec], Place] = "device"
    tensor_map: Callable[[Params, DeviceSpec], TensorMap | None] | None = None
    carveout: Size = -1


@dataclass(frozen=True)
class Probe:
    """One microbenchmark: kernel, parameter grid, what the SASS must hold, how samples become values.

    ``defines`` are compile-time axes, ``axes`` run-time ones; ``quick`` replaces either in quick mode. ``patches``
    are axes of ``patch``, which rewrites machine instructions of the built cubin (sass.patch) before the gate sees
    it.

    ``expect`` gives the SASS gate's demands for a set of defines (None: no timed region, only the forbidden opcodes
    are looked for); ``estimate`` turns a round of samples into estimates; ``bound`` is the physical limit of an
    estimate at the measured SM clock (``bound_is_reachable`` False: that of something beside it, and no share of it
    is shown); ``check`` compares what the kernel computed (``out`` as bytes, and the seed) with the host and returns
    a reason or None; ``reduce`` turns ``out`` into further columns; ``prepare`` names the kernel that fills the
    working set; ``method`` says what a sample is: one kernel timed by its own clocks, or many launches by stream or
    by graph; ``best_over`` names axes that are searched, of which a table shows the best; ``prologue`` says that the
    kernel works before its clocks start; ``paired`` that all points of a round get one seed, the same from run to
    run; ``warm_ms`` how long to run before the first sample; ``noise`` the relative standard deviation of a quantity
    between runs on one card, where recorded runs show it to be above the 0.1 % that is taken otherwise
    (``rate@time``: of its twin in the other domain;
    ``rate ALL``: of the points with that setting); ``covers`` the rows of the catalogue of published probes that it
    automates (docs/coverage.md); ``rounds`` a fixed number of rounds in place of the plan's rule, for samples that
    last seconds: none is discarded or repeated, and ``width`` is the relative width of an interval from which on a
    value is called unstable; ``refuse`` gives a reason against a sample, or None; ``settings`` names axes that one
    launch goes through by itself (columns), so that estimates have them and points have not.
    """

    name: str
    unit: str
    estimate: Estimator
    quantity: str = "latency"
    archs: str = ">=sm_80"
    defines: Mapping[str, Axis] = field(default_factory=dict)
    axes: Mapping[str, Axis] = field(default_factory=dict)
    quick: Mapping[str, Axis] = field(default_factory=dict)
    launch: Launch = field(default_factory=Launch)
    expect: Callable[[Params], Expect] | None = None
    patches: Mapping[str, Axis] = field(default_factory=dict)
    patch: Patch | None = None
    kernel: str = ""
    entry: str = "probe"
    prepare: str = ""
    method: Method = "kernel"
    operands_axis: str = "OPERANDS"
    out_words: int = 1 << 16
    check: Check | None = None
    reduce: Reduce | None = None
    bound: Bound | None = None
    bound_is_reachable: bool = True
    published: Sequence[Published] = ()
    noise: Mapping[str, float] = field(default_factory=dict)
    covers: Sequence[int] = ()
    rounds: int = 0
    width: float = 0.0
    refuse: Refuse | None = None
    settings: Sequence[str] = ()
    keep: Callable[[Params], bool] | None = None
    best_over: Sequence[str] = ()
    warm_ms: float = 0.0
    prologue: bool = False
    paired: bool = False
    path: Path = Path()
    doc: str = ""

    @property
    def group(self) -> str:
        """The folder the probe lives in: compute, memory, tensor, sync or system."""
        return self.path.parent.name

    @property
    def summary(self) -> str:
        """First line of the docstring."""
        return self.doc.strip().splitlines()[0] if self.doc.strip() else ""

    @property
    def source_path(self) -> Path:
        """The CUDA source; ``kernel`` may name one of another folder (``../tensor/wgmma_rate``)."""
        return (self.path.parent / f"{self.kernel or self.name}.cu").resolve()

    def source(self) -> str:
        """The CUDA source with the project's own headers in place of their #include lines."""
        return _with_headers(self.source_path)

    def runs_on(self, architecture: Architecture) -> bool:
        """Whether the probe exists on ``architecture``."""
        return arch.matches(self.archs, architecture)

    def builds(self, mode: Mode, device: DeviceSpec) -> list[Params]:
        """Every kernel of ``mode``: its compile-time defines and patches."""
        return list(self._grid({**self.defines, **self.patches}, mode, device))

    def points(self, mode: Mode, device: DeviceSpec) -> list[Point]:
        """Every configuration of ``mode``, resolved for ``device``."""
        grid = self._grid({**self.defines, **self.patches, **self.axes}, mode, device)
        return [self._point(params, device) for params in grid if self.keep is None or self.keep(params)]

    def defines_of(self, point: Point) -> Params:
        """The part of a point that decides its kernel."""
        return {name: point[name] for name in (*self.defines, *self.patches)}

    def compiled(self, params: Params) -> Params:
        """The part of a kernel's parameters that the compiler is told."""
        return {name: value for name, value in params.items() if name in self.defines}

    def _grid(self, axes: Mapping[str, Axis], mode: Mode, device: DeviceSpec) -> Iterator[Params]:
        chosen = {name: self.quick.get(name, axis) if mode == "quick" else axis for name, axis in axes.items()}
        values = [axis(device) if callable(axis) else axis for axis in chosen.values()]
        for combination in itertools.product(*values):
            yield dict(zip(chosen, combination, strict=True))

    def _point(self, params: Params, device: DeviceSpec) -> Point:
        def size(value: Size) -> int:
            return value(params, device) if callable(value) else value

        return Point(
            params=tuple(params.items()),
            grid=size(self.launch.grid),
            block=size(self.launch.block),
            data_bytes=size(self.launch.data_bytes),
            iters=size(self.launch.iters),
            shared_bytes=size(self.launch.shared_bytes),
            zero=params.get(self.operands_axis) == "zero",
            cluster=size(self.launch.cluster),
            cooperative=self.launch.cooperative,
            place=self.launch.place(params, device) if callable(self.launch.place) else self.launch.place,
            carveout=size(self.launch.carveout),
            tensor_map=self.launch.tensor_map(params, device) if self.launch.tensor_map else None,
        )


def sm_count(params: Params, device: DeviceSpec) -> int:
    """One block an SM."""
    return int(device["sm_count"])


def _with_headers(path: Path) -> str:
    """Text of a source with each ``#include "x"`` replaced once by the file, found in its folder or in microbench/."""
    seen: set[str] = set()

    def expand(text: str) -> str:
        return re.sub(r'^#include "([^"]+)"$', include, text.replace("#pragma once\n", ""), flags=re.MULTILINE)

    def include(match: re.Match[str]) -> str:
        name = match.group(1)
        if name in seen:
            return ""
        seen.add(name)
        for folder in (path.parent, resources.folder("microbench")):
            if (folder / name).is_file():
                return expand((folder / name).read_text(encoding="utf-8"))
        raise GpuprobeError(f"{path.name} includes '{name}', which is not in microbench/", "put the header beside it")

    return expand(path.read_text(encoding="utf-8"))


@cache
def discover() -> tuple[Probe, ...]:
    """Every probe of ``microbench/``, sorted by group and name."""
    root = resources.folder("microbench")
    probes = [load(path) for path in sorted(root.rglob("*.py")) if not path.name.startswith("_")]
    return tuple(sorted(probes, key=lambda probe: (probe.group, probe.name)))


def load(path: Path) -> Probe:
    """The probe declared in ``path``; GpuprobeError where it declares none, or one that does not fit its file."""
    module: Any = _module(path)
    probe = getattr(module, "PROBE", None)
    if not isinstance(probe, Probe):
        raise GpuprobeError(f"{path} declares no PROBE", "see docs/architecture.md, 'A probe'")
    probe = replace(probe, path=path, doc=module.__doc__ or "")
    if probe.name != path.stem or not probe.source_path.is_file() or not probe.summary:
        raise GpuprobeError(
            f"{path}: a probe is named after its file ({probe.name} is not {path.stem}), has a docstring and a source",
            f"expected source: {probe.source_path.name}",
        )
    return probe


def _module(path: Path) -> object:
    spec = importlib.util.spec_from_file_location(f"gpuprobe_microbench_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise GpuprobeError(f"cannot import {path}", "check that it is a Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def select(patterns: Iterable[str]) -> tuple[Probe, ...]:
    """Probes whose name or group/name matches any of ``patterns`` (globs), all for none; GpuprobeError for no match."""
    wanted = tuple(patterns)
    if not wanted:
        return discover()
    for pattern in wanted:
        if not any(_matches(probe, pattern) for probe in discover()):
            start = pattern.strip("*")[:4]
            close = ", ".join([probe.name for probe in discover() if start and start in probe.name][:MOST_NAMED])
            raise GpuprobeError(
                f"no probe matches '{pattern}'" + (f"; close: {close}" if close else ""),
                "list them with: gpuprobe microbench --list",
            )
    return tuple(probe for probe in discover() if any(_matches(probe, pattern) for pattern in wanted))


def _matches(probe: Probe, pattern: str) -> bool:
    return fnmatchcase(probe.name, pattern) or fnmatchcase(f"{probe.group}/{probe.name}", pattern)
