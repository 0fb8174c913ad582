"""Build hook: the trace recorder, compiled, inside the wheel. Such a wheel runs on this platform alone.

Only with GPUPROBE_BUILD_RECORDER=1, since it needs a C++ compiler and CUPTI's headers; every other wheel is pure Python
and compiles the recorder on its first use.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class RecorderHook(BuildHookInterface[Any]):
    """Compiles the recorder and adds it to the wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before it packs: ``version`` is the kind of build (standard or editable)."""
        if os.environ.get("GPUPROBE_BUILD_RECORDER") != "1" or version != "standard":
            return
        sys.path.insert(0, self.root)
        from gpuprobe.trace.record.library import PACKAGED, build  # noqa: PLC0415 - from the source tree

        self._built = built = Path(self.directory) / PACKAGED.name
        build(built)
        build_data["force_include"][str(built)] = f"gpuprobe/_data/{PACKAGED.parent.name}/{PACKAGED.name}"
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{sysconfig.get_platform().replace('-', '_').replace('.', '_')}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Called when the wheel is there: the library beside it is no artefact."""
        if build_data.get("tag"):
            self._built.unlink()
