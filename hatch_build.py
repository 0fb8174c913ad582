"""Build hook: the folders beside the package go into the wheel, and the native parts if asked for.

Left out of wheels, for their size: the measured GEMMs that models were trained on, rendered reports, and what lies in
folders below a device's (repeats, traces of a batch sweep); the source distribution has them all. With
GPUPROBE_BUILD_RECORDER=1, which needs a C++ compiler and CUPTI's headers, the recorder and the scanner of traces and
the walk through forests are compiled into the wheel, which then runs on this platform alone; every other wheel is pure
Python and compiles them on their first use.
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
LEFT_OUT = ("models/data/*/gemm_*.parquet", "reports/*/*.html", "reports/*/*/*")


class PackHook(BuildHookInterface[Any]):
    """Adds the folders beside the package, and compiles the native parts."""

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
        from gpuprobe.native.forest import FOREST  # noqa: PLC0415 - from the source tree
        from gpuprobe.trace.record import library as recorder  # noqa: PLC0415
        from gpuprobe.trace.scan.library import SCANNER  # noqa: PLC0415

        optional = ((part.packaged, part.build) for part in (SCANNER, FOREST))
        for packaged, build in ((recorder.PACKAGED, recorder.build), *optional):
            built = Path(self.directory) / packaged.name
            build(built)
            self._built += (built,)
            place = f"gpuprobe/_data/{packaged.parent.name}/{packaged.name}"
            build_data["force_include"][str(built)] = place
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{sysconfig.get_platform().replace('-', '_').replace('.', '_')}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Called when the wheel is there: the libraries beside it are no artefacts."""
        for built in self._built:
            built.unlink()
