"""Write docs/coverage.md: which row of the catalogue of published probes is automated by which probe."""

from __future__ import annotations

from pathlib import Path

from gpuprobe.coverage import ROWS, covered, page
from gpuprobe.files import write_atomically
from gpuprobe.probe import discover

if __name__ == "__main__":
    probes = discover()
    write_atomically(Path(__file__).with_name("coverage.md"), page(probes).encode())
    print(f"{covered(probes)} of {len(ROWS)} rows are automated")  # noqa: T201
