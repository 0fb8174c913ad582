"""Probe → kernels: every set of defines built for an architecture and put through the SASS gate."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from gpuprobe import build, gate
from gpuprobe.arch import Architecture
from gpuprobe.build import Cubin
from gpuprobe.errors import GpuprobeError
from gpuprobe.gate import Expect, Verdict
from gpuprobe.probe import Mode, Probe
from gpuprobe.record import DeviceSpec, Param, Params

Defines = tuple[tuple[str, Param], ...]


@dataclass(frozen=True)
class Kernel:
    """One built kernel and the gate's verdict; ``cubin`` is None where it did not compile, and the verdict says why."""

    probe: str
    params: Params
    cubin: Cubin | None
    verdict: Verdict

    @property
    def ok(self) -> bool:
        """Whether numbers may be taken from it."""
        return self.cubin is not None and self.verdict.ok


Kernels = Mapping[tuple[str, Defines], Kernel]


def defines_key(params: Params) -> Defines:
    """Identity of a set of defines."""
    return tuple(sorted(params.items()))


def build_kernels(probes: Iterable[Probe], architecture: Architecture, mode: Mode, device: DeviceSpec) -> Kernels:
    """Build and gate every kernel of ``probes`` for ``architecture``; a failure is in its verdict, no exception."""
    wanted = [(probe, params) for probe in probes for params in probe.builds(mode, device)]
    sources = {probe.name: probe.source() for probe, _ in wanted}
    built = build.build_many(
        [
            build.Job(sources[probe.name], f"{probe.name}.cu", architecture.target, probe.compiled(params))
            for probe, params in wanted
        ]
    )
    built = [_patched(probe, params, cubin) for (probe, params), cubin in zip(wanted, built, strict=True)]
    cubins = [cubin for cubin in built if isinstance(cubin, Cubin)]
    checks = [
        gate.Job(probe.entry, probe.expect(params) if probe.expect else Expect(timed=False))
        for (probe, params), cubin in zip(wanted, built, strict=True)
        if isinstance(cubin, Cubin)
    ]
    verdicts = iter(gate.check_many(list(zip(cubins, checks, strict=True))))
    kernels = {}
    for (probe, params), cubin in zip(wanted, built, strict=True):
        if isinstance(cubin, GpuprobeError):
            kernel = Kernel(probe.name, params, None, Verdict.failed(str(cubin)))
        else:
            kernel = Kernel(probe.name, params, cubin, next(verdicts))
        kernels[probe.name, defines_key(params)] = kernel
    return kernels


def _patched(probe: Probe, params: Params, cubin: Cubin | GpuprobeError) -> Cubin | GpuprobeError:
    """The cubin as the probe's patch leaves it, under a key of its own; an error stays one."""
    if probe.patch is None or isinstance(cubin, GpuprobeError):
        return cubin
    try:
        data = probe.patch(params, cubin.data)
    except GpuprobeError as error:
        return error
    return replace(cubin, data=data, key=hashlib.sha256(data).hexdigest())
