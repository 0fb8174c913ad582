"""Build hook: the trace recorder and the scanner, compiled, inside the wheel. Such a wheel runs on this platform alone.

Only with GPUPROBE_BUILD_RECORDER=1, since it needs a C++ compiler and CUPTI's headers; every other wheel is pure Python
and compiles both on their first use.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class RecorderHook(BuildHookInterface[Any]):
    """Compiles the recorder and the scanner and adds them to the wheel."""

    _built: tuple[Path, ...] = ()

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before it packs: ``version`` is the kind of build (standard or editable)."""
        if os.environ.get("GPUPROBE_BUILD_RECORDER") != "1" or version != "standard":
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
