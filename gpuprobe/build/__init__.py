"""CUDA C++ to cubin without toolkit, driver or GPU: content-addressed builds, one at a time or many in workers."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gpuprobe import cache
from gpuprobe.build import nvrtc
from gpuprobe.build.nvrtc import Unit
from gpuprobe.build.workers import compile_units
from gpuprobe.errors import GpuprobeError

Define = int | float | str

_IDENTIFIER = re.compile(r"[A-Za-z_]\w*")
_ARCH = re.compile(r"sm_\d{2,3}[af]?")


@dataclass(frozen=True)
class Job:
    """One kernel to build: source text, a name for messages, target (``sm_90a``), defines and in-memory headers."""

    source: str
    name: str
    arch: str
    defines: Mapping[str, Define] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Cubin:
    """Machine code for ``arch``; ``key`` is the SHA-256 (hex) of its inputs, ``compiler`` the NVRTC that made it.

    ``digest`` is the SHA-256 of the code itself: two compilers that make the same of it give the same.
    """

    data: bytes = field(repr=False)
    key: str
    arch: str
    compiler: str
    digest: str

    @classmethod
    def of(cls, data: bytes, key: str, arch: str, compiler: str) -> Cubin:
        """A cubin with its digest."""
        return cls(data, key, arch, compiler, hashlib.sha256(data).hexdigest())


def compile_cubin(
    source: str,
    *,
    name: str,
    arch: str,
    defines: Mapping[str, Define] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Cubin:
    """The cubin of one kernel, from the cache or by NVRTC; GpuprobeError with the first errors where that fails."""
    job = Job(source, name, arch, defines or {}, headers or {})
    unit = _unit(job)
    key = _key(unit)
    return _cached(job, key) or _stored(job, key, nvrtc.compile_unit(unit))


def build_many(jobs: Sequence[Job], processes: int | None = None) -> list[Cubin | GpuprobeError]:
    """Cubin or error of every job, in the order given; those not cached are shared among ``processes`` workers.

    ``processes`` defaults to the number of CPUs. Cached jobs start no worker and do not load NVRTC.
    """
    results: dict[int, Cubin | GpuprobeError] = {}
    missing: dict[int, tuple[Unit, str]] = {}
    for index, job in enumerate(jobs):
        try:
            unit = _unit(job)
            key = _key(unit)
        except GpuprobeError as error:
            results[index] = error
            continue
        if cubin := _cached(job, key):
            results[index] = cubin
        else:
            missing[index] = unit, key
    outcomes = compile_units([unit for unit, _ in missing.values()], processes or os.cpu_count() or 1)
    for (index, (_, key)), outcome in zip(missing.items(), outcomes, strict=True):
        results[index] = outcome if isinstance(outcome, GpuprobeError) else _stored(jobs[index], key, outcome)
    return [results[index] for index in range(len(jobs))]


def _unit(job: Job) -> Unit:
    """The job as NVRTC takes it; includes come from ``headers`` alone, so that the key covers all of them."""
    if not _ARCH.fullmatch(job.arch):
        raise GpuprobeError(f"'{job.arch}' is no compile target", "give one such as sm_80, sm_89 or sm_90a")
    if bad := [define for define in job.defines if not _IDENTIFIER.fullmatch(define)]:
        raise GpuprobeError(f"{job.name}: '{bad[0]}' is no macro name", "use letters, digits and underscores")
    defines = [f"-D{define}={value}" for define, value in sorted(job.defines.items())]
    options = (f"--gpu-architecture={job.arch}", "--std=c++17", "--no-source-include", *defines)
    return Unit(job.name, job.source, options, job.headers)


def _key(unit: Unit) -> str:
    inputs = [unit.name, unit.source, unit.options, sorted(unit.headers.items()), nvrtc.compiler_version()]
    return hashlib.sha256(json.dumps(inputs).encode()).hexdigest()


def _cached(job: Job, key: str) -> Cubin | None:
    data = cache.load("cubin", key)
    return None if data is None else Cubin.of(data, key, job.arch, nvrtc.compiler_version())


def _stored(job: Job, key: str, data: bytes) -> Cubin:
    cache.store("cubin", key, data)
    return Cubin.of(data, key, job.arch, nvrtc.compiler_version())
