"""What it takes to build the recorder: a C++ compiler and CUPTI's headers, wherever this machine keeps them."""

from __future__ import annotations

import os
import re
import shutil
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gpuprobe.errors import Exit, GpuprobeError
from gpuprobe.native import part

_VERSION = re.compile(rb"#define\s+CUPTI_API_VERSION\s+(\d+)")
_LIBRARIES = ("libcupti.so.13", "libcupti.so.12", "libcupti.so")


@dataclass(frozen=True)
class Headers:
    """Include folders (CUPTI's first), the API version they declare, and the libcupti beside them, if there is one."""

    folders: tuple[Path, ...]
    api_version: int
    library: Path | None


def find_compiler() -> str:
    """The C++ compiler: $CXX, else g++, c++ or clang++ on the PATH; GpuprobeError (exit 3) where there is none."""
    if path := part.find_compiler():
        return path
    raise GpuprobeError(
        "trace record builds its recorder on first use, and there is no C++ compiler here",
        "apt-get install g++ (or set CXX); or record with torch.profiler and give its JSON to: gpuprobe trace analyze",
        Exit.MACHINE_LACKS,
    )


def find_headers() -> Headers:
    """CUPTI's headers from a CUDA toolkit or NVIDIA's wheels; GpuprobeError (exit 3) where one is missing."""
    cuda = [folder for folder in _candidates() if (folder / "cuda.h").is_file()]
    for folder in _candidates():
        version = _api_version(folder)
        if version is None:
            continue
        if (folder / "cuda.h").is_file():
            return Headers((folder,), version, _library_of(folder))
        if cuda:
            return Headers((folder, cuda[0]), version, _library_of(folder))
    raise GpuprobeError(
        "trace record builds its recorder on first use, and CUPTI's headers are not here",
        "pip install nvidia-cuda-cupti nvidia-cuda-runtime nvidia-cuda-crt, or set CUDA_HOME to a CUDA toolkit",
        Exit.MACHINE_LACKS,
    )


def find_cupti() -> Path | None:
    """libcupti of a CUDA toolkit or of NVIDIA's wheels, for programs that bring none; None where there is none."""
    return next(filter(None, map(_library_of, _candidates())), None)


def _candidates() -> Iterator[Path]:
    """Include folders of toolkits and wheels, in the order of trust; most do not exist."""
    for root in _toolkits():
        yield root / "extras" / "CUPTI" / "include"
        yield root / "include"
    for site in dict.fromkeys(sysconfig.get_path(name) for name in ("purelib", "platlib")):
        wheels = Path(site) / "nvidia"
        yield from (wheels / name / "include" for name in ("cu13", "cuda_cupti", "cuda_runtime"))


def _toolkits() -> Iterator[Path]:
    for name in ("CUDA_HOME", "CUDA_PATH"):
        if root := os.environ.get(name):
            yield Path(root)
    if nvcc := shutil.which("nvcc"):
        yield Path(nvcc).resolve().parent.parent
    yield Path("/usr/local/cuda")
    yield from sorted(Path("/usr/local").glob("cuda-*"), reverse=True)


def _api_version(folder: Path) -> int | None:
    """CUPTI_API_VERSION of the headers in a folder; None where there are none."""
    header = folder / "cupti_version.h"
    if not (folder / "cupti_activity.h").is_file() or not header.is_file():
        return None
    found = _VERSION.search(header.read_bytes())
    return int(found[1]) if found else None


def _library_of(include: Path) -> Path | None:
    """libcupti beside an include folder."""
    for folder in (include.parent / "lib64", include.parent / "lib"):
        for name in _LIBRARIES:
            if (folder / name).is_file():
                return folder / name
    return None
