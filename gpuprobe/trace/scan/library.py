"""The scanner as a shared library: from the wheel, else built on first use and kept under a hash of what it is of.

It is optional. Where there is none and none can be built, or GPUPROBE_SCANNER is ``off``, Python reads the same.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import sys
from functools import cache
from pathlib import Path

from gpuprobe.cache import cache_dir
from gpuprobe.errors import Exit, GpuprobeError
from gpuprobe.resources import PACKAGE

PACKAGED = PACKAGE / "_data" / "scanner" / "scanner.so"
"""Where a wheel of this platform holds the scanner (hatch_build.py); pure Python wheels and checkouts have none."""
WORTH_BUILDING = 48 << 20
"""Bytes of a trace from which on the second that a build takes is won back."""
_SOURCES = Path(__file__).resolve().parent
_COMPILERS = ("g++", "c++", "clang++")
_FLAGS = ("-std=c++17", "-O2", "-fPIC", "-shared", "-fvisibility=hidden", "-fno-exceptions", "-fno-rtti", "-Wall")
_LINK = ("-Wl,--as-needed",) if sys.platform == "linux" else ()
_SECONDS = 120


def scanner_library(size: int) -> ctypes.CDLL | None:
    """The scanner for a trace of about ``size`` bytes; None where there is none and none is worth or able to be built.

    What it reads is the same either way; only the time differs.
    """
    if os.environ.get("GPUPROBE_SCANNER") == "off":
        return None
    path = _built(worth_building=size >= WORTH_BUILDING)
    return None if path is None else _loaded(path)


def build(path: Path) -> None:
    """Compile the scanner to ``path``; GpuprobeError where that is not possible."""
    import subprocess  # noqa: PLC0415 - both cost 20 ms, and a build is needed once
    import tempfile  # noqa: PLC0415

    compiler = find_compiler()
    if compiler is None:
        raise GpuprobeError("there is no C++ compiler here", "apt-get install g++ (or set CXX)", Exit.MACHINE_LACKS)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:  # renamed when whole: others may build as well
            built = Path(folder) / path.name
            command = [compiler, *_FLAGS, str(_SOURCES / "scanner.cpp"), "-o", str(built), *_LINK]
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_SECONDS)
            if done.returncode:
                reason = next((line for line in done.stderr.splitlines() if "error" in line), "it says not why")
                raise GpuprobeError(f"the scanner does not compile with {compiler}: {reason}", "set CXX to another one")
            built.replace(path)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise GpuprobeError(
            f"cannot build the scanner in {path.parent}: {error}", "set GPUPROBE_CACHE to a writable folder"
        ) from error


def find_compiler() -> str | None:
    """The C++ compiler: $CXX, else g++, c++ or clang++ on the PATH."""
    names = filter(None, (os.environ.get("CXX"), *_COMPILERS))
    return next((path for name in names if (path := shutil.which(name))), None)


def _built(*, worth_building: bool) -> Path | None:
    if PACKAGED.is_file():
        return PACKAGED
    try:
        path = cache_dir() / "scanner" / _key() / "scanner.so"
        if not path.is_file():
            if not worth_building:
                return None
            build(path)
    except GpuprobeError:
        return None
    return path


@cache
def _key() -> str:
    """SHA-256 over the sources, the flags and the machine's kind: caches may be shared by machines."""
    digest = hashlib.sha256(repr((_FLAGS, _LINK, sys.platform, platform.machine())).encode())
    for source in ("scanner.cpp", "json.h", "intern.h"):
        digest.update((_SOURCES / source).read_bytes())
    return digest.hexdigest()


@cache
def _loaded(path: Path) -> ctypes.CDLL | None:
    try:
        library = ctypes.CDLL(str(path))
        _declare(library)
    except (OSError, AttributeError):
        return None  # built for another C library
    return library


def _declare(library: ctypes.CDLL) -> None:
    """Argument and result types of the exported functions."""
    pointer, number = ctypes.c_void_p, ctypes.c_int64
    for name, result, arguments in (
        ("scanner_new", pointer, (ctypes.c_uint64,)),
        ("scanner_free", None, (pointer,)),
        ("scanner_scan", number, (pointer, pointer)),
        ("scanner_known", number, (pointer,)),
        ("scanner_text", pointer, (pointer, number, pointer, pointer)),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
