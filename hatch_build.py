"""Build hook: the folders beside the package go into the wheel, and the trace recorder and the scanner if asked for.

Left out of wheels, for their size: the measured GEMMs that models were trained on, and rendered reports; the source
distribution has both. With GPUPROBE_BUILD_RECORDER=1, which needs a C++ compiler and CUPTI's headers, recorder and
scanner are compiled into the wheel, which then runs on this platform alone; every other wheel is pure Python and
compiles both on their first use.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

BESIDE = ("microbench", "models", "reports")
"""Folders beside the package in a checkout; gpuprobe.resources finds them in both places."""
LEFT_OUT = ("models/data/*/gemm_*.parquet", "reports/*/*.html")


class PackHook(BuildHookInterface[Any]):
    """Adds the folders beside the package, and compiles the recorder and the scanner."""

    _built: tuple[Path, ...] = ()

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before it packs: ``version`` is the kind of build (standard or editable)."""
        if version != "standard":
            return
        root = Path(self.root)
        for path in (path for name in BESIDE for path in (root / name).rglob("*") if path.is_file()):
            place = path.relative_to(root)
            if "__pycache__" not in place.parts and not any(place.match(pattern) for pattern in LEFT_OUT):
                build_data["force_include"][str(path)] = f"gpuprobe/_data/{place.as_posix()}"
        if os.environ.get("GPUPROBE_BUILD_RECORDER") != "1":
            return
        sys.path.insert(0, self.root)
        from gpuprobe.trace.record import library as recorder  # noqa: PLC0415 - from the source tree
        from gpuprobe.trace.scan import library as scanner  # noqa: PLC0415

        for part in (recorder, scanner):
            built = Path(self.directory) / part.PACKAGED.name
            part.build(built)
            self._built += (built,)
            place = f"gpuprobe/_data/{part.PACKAGED.parent.name}/{part.PACKAGED.name}"
            build_data["force_include"][str(built)] = place
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{sysconfig.get_platform().replace('-', '_').replace('.', '_')}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Called when the wheel is there: the libraries beside it are no artefacts."""
        for built in self._built:
            built.unlink()
