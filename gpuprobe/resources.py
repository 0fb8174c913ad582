"""Where folders are: the data beside the package (in a checkout first, else in the wheel), and the user's own."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from gpuprobe.errors import Exit, GpuprobeError

PACKAGE = Path(__file__).resolve().parent


@cache
def folder(name: str) -> Path:
    """Path of a data folder (``microbench``, ``models``, ``reports``).

    An editable install does not see the wheel's copies (hatch_build.py), so a checkout is recognised by its
    ``pyproject.toml`` and wins over the packaged copy.
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


def user_folder(variable: str, xdg_variable: str, below_home: str) -> Path:
    """A folder of the user's: $variable, else $xdg_variable/gpuprobe, else ~/below_home/gpuprobe. It need not exist."""
    if own := os.environ.get(variable):
        return Path(own).expanduser()
    if base := os.environ.get(xdg_variable):
        return Path(base) / "gpuprobe"
    try:
        return Path.home() / below_home / "gpuprobe"
    except RuntimeError as error:
        raise GpuprobeError(
            "there is no home directory to keep files in",
            f"set {variable} to a folder that can be written",
            Exit.MACHINE_LACKS,
        ) from error
