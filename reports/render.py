"""Render every report: ``python reports/render.py`` writes pages of runs (index), model cards (models) and traces."""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    """Render all; the exit code of the first that fails, else 0."""
    sys.path.insert(0, str(ROOT))
    from gpuprobe.cli import main as gpuprobe  # noqa: PLC0415 - from this checkout, installed or not

    os.chdir(ROOT)  # the page names the command, with paths that hold in any checkout
    pages = {run: run.with_name("index.html") for run in sorted(Path("reports").glob("*/run.json.gz"))}
    for folder in {run.parent for run in pages}:
        card = Path("models") / folder.name / "card.json"
        pages |= {card: folder / "models.html"} if card.is_file() else {}
        pages |= {trace: trace.with_suffix(".html") for trace in sorted(folder.glob("*.gptrace"))}
    for source, page in pages.items():
        code = gpuprobe(["report", str(source), "-o", str(page)])
        if code:
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
