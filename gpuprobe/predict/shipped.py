"""Where a device's fitted models are: models/DEVICE/gemm-SOURCE.npz beside the package."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from gpuprobe import resources
from gpuprobe.errors import GpuprobeError

SOURCES: Final = ("gpuprobe", "aiconfigurator", "vidur")
"""Sources of data, best first: measured by this project by three regimes, then published tables."""


def file_name(source: str) -> str:
    """Name of the artefact of one source."""
    return f"gemm-{source}.npz"


def artefact_path(device: str, source: str | None = None) -> list[Path]:
    """The artefacts of a device, best source first, or that of ``source``; GpuprobeError where there is none of it."""
    if source is not None and source not in SOURCES:
        raise GpuprobeError(f"unknown source '{source}'", f"use one of: {', '.join(SOURCES)}")
    folder = resources.folder("models") / device
    present = [name for name in SOURCES if (folder / file_name(name)).is_file()]
    if source is None:
        # where this project measured, its protocol is not mixed with others': a missing type borrows its twin's model
        return [folder / file_name(name) for name in (present[:1] if SOURCES[0] in present else present)]
    if source not in present:
        hint = f"it has: {', '.join(present)}" if present else "it is predicted analytically: leave the source out"
        raise GpuprobeError(f"{device} has no model from {source}", hint)
    return [folder / file_name(source)]


def devices() -> list[str]:
    """Devices with a fitted model, sorted."""
    folder = resources.folder("models")
    return sorted({path.parent.name for name in SOURCES for path in folder.glob(f"*/{file_name(name)}")})
