"""Where the data folders beside the package are: in a checkout first, else packaged in the wheel."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from gpuprobe.errors import Exit, GpuprobeError

PACKAGE = Path(__file__).resolve().parent


@cache
def folder(name: str) -> Path:
    """Path of a data folder (``microbench``, ``models``, ``reports``).

    An editable install does not see hatchling's ``force-include`` copies, so a checkout is recognised
    by its ``pyproject.toml`` and wins over the packaged copy.
    """
    checkout = PACKAGE.parent
    candidates = [PACKAGE / "_data" / name]
    if (checkout / "pyproject.toml").is_file():
        candidates.insert(0, checkout / name)
    for candidate in candidates:
        if candidate.is_dir():
            return candidate
    raise GpuprobeError(
        f"the data folder '{name}' is missing from this installation",
        "reinstall with: pip install --force-reinstall gpuprobe",
        Exit.MACHINE_LACKS,
    )
