"""The Environment of a live run: versions, limits, other users of the GPU."""

from __future__ import annotations

import hashlib
import platform
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import gpuprobe
from gpuprobe.gpu.nvml import Nvml, driver_versions
from gpuprobe.record import Environment

PACKAGES = ("cupy-cuda13x", "cupy-cuda12x", "cuda-core", "cuda-bindings", "nvidia-cuda-nvrtc", "nvidia-ml-py", "numpy")


def environment_of(nvml: Nvml, other_processes: int | None) -> Environment:
    """What surrounds a run on ``nvml``'s GPU; ``other_processes`` is counted before this process has a context."""
    driver, cuda = driver_versions()
    return Environment(
        driver=driver,
        cuda_driver=cuda,
        gpuprobe=gpuprobe.__version__,
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.machine()}",
        packages=_versions(),
        commit=_commit(),
        power_limit_w=nvml.enforced_power_limit_w,
        clocks_policy="not locked by gpuprobe",
        max_sm_clock_hz=nvml.max_sm_clock_hz,
        memory_clock_hz=nvml.mem_clock_hz,
        ecc=nvml.ecc,
        mig=nvml.mig,
        persistence=nvml.persistence,
        other_processes=other_processes,
        temperature_c=nvml.temperature_c,
        gpu_uuid=hashlib.sha256(nvml.uuid.encode()).hexdigest()[:16],  # tells cards apart without naming one
        cpu=_cpu(),
    )


def _commit() -> str:
    """The commit of the checkout that gpuprobe runs from (+: files differ); empty for an installed wheel."""
    folder, git = Path(gpuprobe.__file__).resolve().parent.parent, shutil.which("git")
    if git is None or not (folder / ".git").exists():
        return ""

    def ask(*arguments: str) -> str:
        command = [git, "-C", str(folder), *arguments]
        try:
            return subprocess.run(command, capture_output=True, text=True, check=False, timeout=10).stdout.strip()
        except (OSError, subprocess.TimeoutExpired):  # a run must not end for want of its commit
            return ""

    return ask("rev-parse", "--short=12", "HEAD") + (
        "+" if ask("status", "--porcelain", "--untracked-files=no") else ""
    )


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    if sys.platform != "linux" or not info.is_file():
        return platform.processor()
    lines = info.read_text(encoding="utf-8", errors="replace").splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
