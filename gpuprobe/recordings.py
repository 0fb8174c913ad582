"""The recorded runs that ship with gpuprobe, by architecture (``reports/<device>/run.json.gz``)."""

from __future__ import annotations

from pathlib import Path

from gpuprobe import device, resources
from gpuprobe.arch import Architecture

FILE = "run.json.gz"


def shipped(architecture: Architecture) -> Path | None:
    """Path of the first shipped recording of a GPU of ``architecture``, or None."""
    for name in device.for_architecture(architecture):
        path = resources.folder("reports") / name / FILE
        if path.is_file():
            return path
    return None
