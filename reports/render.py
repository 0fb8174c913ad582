"""Render every report: ``python reports/render.py`` writes pages of runs, repeats, models, batch sweeps and traces."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FIRST = "h100-sxm"
"""The device that others are set beside."""


def pages(folder: Path) -> Iterator[tuple[Path, list[Path]]]:
    """Every page of a device's folder and the files it is about; what is not recorded has no page."""
    run = folder / "run.json.gz"
    yield folder / "index.html", [run]
    repeats = sorted((folder / "aa").glob("*.json.gz"))
    if len(repeats) > 1:
        yield folder / "repeats.html", repeats
    if folder.name != FIRST and (folder.parent / FIRST / run.name).is_file():
        yield folder / f"beside-{FIRST}.html", [folder.parent / FIRST / run.name, run]
    models = [
        path for path in (Path("models") / folder.name / "card.json", folder / "evaluation.json") if path.is_file()
    ]
    if models:
        yield folder / "models.html", models
    for sweep in sorted(folder.glob("*/sweep.json")):
        yield folder / f"{sweep.parent.name}-batches.html", [sweep]
    for trace in sorted(folder.glob("*.gptrace")):
        yield trace.with_suffix(".html"), [trace]


def main() -> int:
    """Render all; the exit code of the first that fails, else 0."""
    sys.path.insert(0, str(ROOT))
    from gpuprobe.cli import main as gpuprobe  # noqa: PLC0415 - from this checkout, installed or not

    os.chdir(ROOT)  # the page names the command, with paths that hold in any checkout
    for run in sorted(Path("reports").glob("*/run.json.gz")):
        for page, files in pages(run.parent):
            code = gpuprobe(["report", *map(str, files), "-o", str(page)])
            if code:
                return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
