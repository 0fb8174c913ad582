"""The recorder as a shared library: from the wheel, else built on first use and kept under a hash of what it is of."""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from gpuprobe.cache import cache_dir
from gpuprobe.errors import Exit, GpuprobeError
from gpuprobe.resources import PACKAGE
from gpuprobe.trace.record.toolchain import Headers, find_compiler, find_cupti, find_headers

PACKAGED = PACKAGE / "_data" / "recorder" / "recorder.so"
"""Where a wheel of this platform holds the recorder (hatch_build.py); pure Python wheels and checkouts have none."""
SOURCES = Path(__file__).resolve().parent.parent / "native"
_FLAGS = ("-std=c++17", "-O2", "-fPIC", "-shared", "-fvisibility=hidden", "-Wall", "-Wextra")
# The program may have loaded another C++ runtime than this compiler's: bring our own; recorder.map hides it.
_STATIC = ("-static-libstdc++", "-static-libgcc")
_LINK = (f"-Wl,--version-script={SOURCES / 'recorder.map'}", "-ldl", "-lpthread")


@dataclass(frozen=True)
class Recorder:
    """The built library, the libcupti to load where the program brings none, and the API version it was built for.

    The version is 0 where it is not known.
    """

    library: Path
    cupti: Path | None
    api_version: int


def recorder_library() -> Recorder:
    """The recorder for this machine: $GPUPROBE_RECORDER, the wheel's, the cached build, else a new one (about 4 s)."""
    if given := os.environ.get("GPUPROBE_RECORDER"):
        return _given(Path(given))
    if PACKAGED.is_file():
        return Recorder(PACKAGED, find_cupti(), 0)
    compiler, headers = find_compiler(), find_headers()
    path = cache_dir() / "recorder" / _key(compiler, headers) / "recorder.so"
    if not path.is_file():
        _build(compiler, headers, path)
    return Recorder(path, headers.library, headers.api_version)


def build(path: Path) -> None:
    """Compile the recorder to ``path``; GpuprobeError where compiler or headers are missing."""
    _build(find_compiler(), find_headers(), path)


def _given(path: Path) -> Recorder:
    if not path.is_file():
        raise GpuprobeError(f"GPUPROBE_RECORDER names no file: {path}", "unset it, or name a built recorder.so")
    cupti = os.environ.get("GPUPROBE_CUPTI")
    return Recorder(path.resolve(), Path(cupti) if cupti else None, 0)


def _key(compiler: str, headers: Headers) -> str:
    """SHA-256 over everything the build reads."""
    version = subprocess.run([compiler, "--version"], capture_output=True, check=False).stdout
    digest = hashlib.sha256(repr((_FLAGS, _STATIC, headers.api_version)).encode() + version)
    for source in sorted(SOURCES.iterdir()):
        digest.update(source.name.encode() + b"\0" + source.read_bytes())
    return digest.hexdigest()


def _build(compiler: str, headers: Headers, path: Path) -> None:
    """Compile to a temporary name and rename: processes may build at the same time, none sees half a file."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            built = Path(folder) / "recorder.so"
            # Some distributions ship no static C++ runtime: the shared one does nearly as well.
            if _compile(compiler, headers, built, _STATIC):
                failure = _compile(compiler, headers, built, ())
                if failure:
                    raise GpuprobeError(
                        f"the recorder does not compile with {compiler}: {failure}",
                        "try another compiler with CXX, or another CUDA toolkit with CUDA_HOME",
                        Exit.MACHINE_LACKS,
                    )
            built.replace(path)
    except OSError as error:
        raise GpuprobeError(
            f"cannot keep the recorder in {path.parent}: {error.strerror or error}",
            "set GPUPROBE_CACHE to a writable folder",
            Exit.MACHINE_LACKS,
        ) from error


def _compile(compiler: str, headers: Headers, output: Path, flags: tuple[str, ...]) -> str:
    """Run the compiler; '' where it worked, else its first error."""
    include = [f"-I{folder}" for folder in headers.folders]
    sources = sorted(map(str, SOURCES.glob("*.cpp")))
    command = [compiler, *_FLAGS, *include, *sources, "-o", str(output), *flags, *_LINK]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return ""
    lines = done.stderr.splitlines()
    return next((line for line in lines if "error" in line), lines[-1] if lines else f"exit status {done.returncode}")
