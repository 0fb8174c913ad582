"""CUDA C++ source to cubin by NVRTC, in this process; ``python -m gpuprobe.build.nvrtc`` is a worker on a pipe.

Uses cuda.bindings rather than cuda.core: it takes headers held in memory and loads in a quarter of the time. Neither a
driver nor a toolkit is needed. Only cubins are asked for: PTX would be compiled by the driver of the day.
"""

from __future__ import annotations

import base64
import importlib.metadata
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import Any

from gpuprobe.errors import Exit, GpuprobeError

_WHEELS = ("nvidia-cuda-nvrtc", "nvidia-cuda-nvrtc-cu13", "nvidia-cuda-nvrtc-cu12")
_INSTALL = "pip install nvidia-cuda-nvrtc cuda-bindings"
_LOG_LINES = 3


@dataclass(frozen=True)
class Unit:
    """One translation unit: ``name`` (shown in errors, part of the cubin), source, options, headers by include name."""

    name: str
    source: str
    options: tuple[str, ...]
    headers: Mapping[str, str] = field(default_factory=dict)


@cache
def compiler_version() -> str:
    """NVRTC's version by the installed wheels; asked of the library itself only where it came without a wheel."""
    found = [f"{name} {version}" for name in _WHEELS if (version := _installed(name))]
    if found:
        return f"{', '.join(found)} (cuda-bindings {_installed('cuda-bindings')})"
    _, major, minor = _nvrtc().nvrtcVersion()
    return f"nvrtc {major}.{minor} of the system"


def _installed(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _nvrtc() -> Any:
    """The NVRTC bindings with the library loaded; GpuprobeError (exit 3) where either is missing."""
    try:
        from cuda.bindings import nvrtc  # noqa: PLC0415  # 0.1 s, and absent where nothing is built

        nvrtc.nvrtcVersion()
    except (ImportError, RuntimeError) as error:
        raise GpuprobeError(
            "NVRTC, the CUDA compiler library, is not installed", _INSTALL, Exit.MACHINE_LACKS
        ) from error
    return nvrtc


def compile_unit(unit: Unit) -> bytes:
    """Cubin of ``unit``; GpuprobeError with the first error lines of the log where it does not compile."""
    nvrtc = _nvrtc()
    program = _created(nvrtc, unit)
    try:
        options = [option.encode() for option in unit.options]
        (status,) = nvrtc.nvrtcCompileProgram(program, len(options), options)
        if status != nvrtc.nvrtcResult.NVRTC_SUCCESS:
            raise _compile_error(unit, _log(nvrtc, program) or str(status))
        _, size = nvrtc.nvrtcGetCUBINSize(program)
        if not size:
            raise GpuprobeError(
                f"{unit.name}: NVRTC made no machine code for {' '.join(unit.options)}",
                "give a real architecture such as sm_90a, not compute_90",
            )
        cubin = bytes(size)
        nvrtc.nvrtcGetCUBIN(program, cubin)
        return cubin
    finally:
        nvrtc.nvrtcDestroyProgram(program)


def _created(nvrtc: Any, unit: Unit) -> Any:
    names = [name.encode() for name in unit.headers]
    texts = [text.encode() for text in unit.headers.values()]
    status, program = nvrtc.nvrtcCreateProgram(unit.source.encode(), unit.name.encode(), len(names), texts, names)
    if status != nvrtc.nvrtcResult.NVRTC_SUCCESS:
        raise GpuprobeError(f"{unit.name}: NVRTC refused the program ({status})", "check its source and headers")
    return program


def _log(nvrtc: Any, program: Any) -> str:
    _, size = nvrtc.nvrtcGetProgramLogSize(program)
    log = bytes(size)
    nvrtc.nvrtcGetProgramLog(program, log)
    return log.rstrip(b"\0").decode(errors="replace").strip()


def _compile_error(unit: Unit, log: str) -> GpuprobeError:
    lines = [line.strip() for line in log.splitlines() if "error" in line.lower()] or log.splitlines()
    return GpuprobeError(
        f"{unit.name} does not compile with {' '.join(unit.options)}: {' | '.join(lines[:_LOG_LINES])}",
        "correct the kernel, or check the architecture and the defines",
    )


def request(units: Sequence[Unit]) -> bytes:
    """What a worker reads from its standard input."""
    return json.dumps([asdict(unit) for unit in units]).encode()


def answer(line: bytes) -> bytes | GpuprobeError:
    """One line of a worker's standard output: a cubin, or the error that took its place."""
    reply = json.loads(line)
    if "cubin" in reply:
        return base64.b64decode(reply["cubin"])
    return GpuprobeError(reply["message"], reply["hint"], Exit(reply["exit_code"]))


def _reply(unit: Unit) -> dict[str, Any]:
    try:
        return {"cubin": base64.b64encode(compile_unit(unit)).decode()}
    except GpuprobeError as error:
        return {"message": error.message, "hint": error.hint, "exit_code": int(error.exit_code)}


def serve() -> None:
    """Compile every unit on standard input and answer line by line, so that a crash loses only the unit in hand."""
    for document in json.load(sys.stdin):
        unit = Unit(**{**document, "options": tuple(document["options"])})
        sys.stdout.write(json.dumps(_reply(unit)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    serve()
