"""An optional native part: from the wheel, else built on first use and kept under a hash of what it is of.

Where there is none and none can be built, or its switch in the environment is ``off``, Python does the same.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from gpuprobe.cache import cache_dir
from gpuprobe.errors import Exit, GpuprobeError
from gpuprobe.resources import PACKAGE

_COMPILERS = ("g++", "c++", "clang++")
_FLAGS = ("-std=c++17", "-O2", "-fPIC", "-shared", "-fvisibility=hidden", "-fno-exceptions", "-fno-rtti", "-Wall")
_LINK = ("-Wl,--as-needed",) if sys.platform == "linux" else ()
_SECONDS = 120

Function = tuple[str, Any, tuple[Any, ...]]


@dataclass(frozen=True)
class Part:
    """A C++ source (the first of ``sources``, the others are its headers) as a shared library.

    ``functions`` are what it exports: name, type of the result, types of the arguments.
    """

    name: str
    sources: tuple[Path, ...]
    functions: tuple[Function, ...]
    flags: tuple[str, ...] = ()

    @property
    def packaged(self) -> Path:
        """Where a wheel of this platform holds it (hatch_build.py); pure Python wheels and checkouts have none."""
        return PACKAGE / "_data" / self.name / f"{self.name}.so"

    @property
    def switch(self) -> str:
        """The environment variable that turns it off."""
        return f"GPUPROBE_{self.name.upper()}"

    def library(self, *, worth_building: bool) -> ctypes.CDLL | None:
        """The library; None where there is none and none is worth or able to be built."""
        if os.environ.get(self.switch) == "off":
            return None
        path = self._built(worth_building=worth_building)
        return None if path is None else _loaded(path, self.functions)

    def build(self, path: Path) -> None:
        """Compile it to ``path``; GpuprobeError where that is not possible."""
        import subprocess  # noqa: PLC0415 - both cost 20 ms, and a build is needed once
        import tempfile  # noqa: PLC0415

        compiler = find_compiler()
        if compiler is None:
            raise GpuprobeError("there is no C++ compiler here", "apt-get install g++ (or set CXX)", Exit.MACHINE_LACKS)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=path.parent) as folder:  # renamed when whole: others may build as well
                built = Path(folder) / path.name
                command = [compiler, *_FLAGS, *self.flags, str(self.sources[0]), "-o", str(built), *_LINK]
                done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_SECONDS)
                if done.returncode:
                    reason = next((line for line in done.stderr.splitlines() if "error" in line), "it says not why")
                    raise GpuprobeError(
                        f"the {self.name} does not compile with {compiler}: {reason}", "set CXX to another one"
                    )
                built.replace(path)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise GpuprobeError(
                f"cannot build the {self.name} in {path.parent}: {error}", "set GPUPROBE_CACHE to a writable folder"
            ) from error

    def _built(self, *, worth_building: bool) -> Path | None:
        if self.packaged.is_file():
            return self.packaged
        try:
            path = cache_dir() / self.name / _key(self) / f"{self.name}.so"
            if not path.is_file():
                if not worth_building:
                    return None
                self.build(path)
        except GpuprobeError:
            return None
        return path

    def _identity(self) -> Iterator[bytes]:
        """What a build depends on; caches may be shared by machines."""
        yield repr((_FLAGS, self.flags, _LINK, sys.platform, platform.machine())).encode()
        for source in self.sources:
            yield source.read_bytes()


def find_compiler() -> str | None:
    """The C++ compiler: $CXX, else g++, c++ or clang++ on the PATH."""
    names = filter(None, (os.environ.get("CXX"), *_COMPILERS))
    return next((path for name in names if (path := shutil.which(name))), None)


@cache
def _key(part: Part) -> str:
    """SHA-256 over the sources, the flags and the machine's kind."""
    digest = hashlib.sha256()
    for piece in part._identity():
        digest.update(piece)
    return digest.hexdigest()


@cache
def _loaded(path: Path, functions: tuple[Function, ...]) -> ctypes.CDLL | None:
    try:
        library = ctypes.CDLL(str(path))
        for name, result, arguments in functions:
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
    except (OSError, AttributeError):
        return None  # built for another C library
    return library
