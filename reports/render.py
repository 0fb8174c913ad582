"""Render the report of every recorded run beside it: ``python reports/render.py`` writes reports/*/index.html."""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    """Render every recording; the exit code of the first that fails, else 0."""
    sys.path.insert(0, str(ROOT))
    from gpuprobe.cli import main as gpuprobe  # noqa: PLC0415 - from this checkout, installed or not

    os.chdir(ROOT)  # the page names the command, with paths that hold in any checkout
    for run in sorted(Path("reports").glob("*/run.json.gz")):
        code = gpuprobe(["report", str(run), "-o", str(run.with_name("index.html"))])
        if code:
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
