"""Write docs/published.md: what the recorded GPUs measured beside published values, and why they differ."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from gpuprobe import resources
from gpuprobe.cli.against import rows_of
from gpuprobe.files import write_atomically
from gpuprobe.recordings import FILE
from gpuprobe.run_files import read_run

PAGE = Path(__file__).with_name("published.md")
HEAD = """# Measured beside published

Written by `python docs/published.py` from the recorded runs in `reports/`; a test keeps it true.
`gpuprobe microbench --against published` prints the same rows for any run, with sources. A value is WITHIN where it
lies 3 % (times, latencies) or 5 % (rates) from the published one, or in the published value's own wider tolerance;
EXPLAINED where it does not and the reason is known; OUTSIDE where it is not known. Values published for another product
with the same chip stand beside ours too: cycles and rates per SM agree, clocks and memory differ.
"""


class Row(NamedTuple):
    """A row of ``rows_of`` as text."""

    name: str
    quantity: str
    parameters: str
    ours: str
    published: str
    ratio: str
    tolerance: str
    verdict: str
    device: str
    reason: str
    source: str


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    for path in sorted(resources.folder("reports").glob(f"*/{FILE}")):
        run = read_run(path)
        rows = [Row(*cells) for cells in rows_of(run)[1][1]]
        parts.append(f"## {run.device.product}\n\n{_count(rows, run.device.name)}\n")
        parts.append("\n".join(_table(rows)) + "\n")
    return "\n".join(parts)


def _count(rows: Sequence[Row], device: str) -> str:
    def told(some: Sequence[Row]) -> str:
        kinds = ("WITHIN", "EXPLAINED", "OUTSIDE")
        return ", ".join(f"{sum(row.verdict == kind for row in some)} {kind}" for kind in kinds)

    settled = {row[:3] for row in rows if row.verdict != "OUTSIDE"}
    own = [row for row in rows if row.device == device]
    return (
        f"{len(rows)} published values: {told(rows)}; of this very product {len(own)}: {told(own)}. "
        f"{len(settled)} of {len({row[:3] for row in rows})} quantities are WITHIN or EXPLAINED beside at least one."
    )


def _table(rows: Sequence[Row]) -> Iterator[str]:
    yield "| quantity | ours | published | on | ours / theirs | verdict |"
    yield "|---|---|---|---|---|---|"
    for row in rows:
        what = " ".join(filter(None, (row.name, row.quantity, row.parameters)))
        verdict = ": ".join(filter(None, (row.verdict, "; ".join(_reasons(row)))))
        yield f"| {what} | {row.ours} | {row.published} | {row.device} | {row.ratio} ({row.tolerance}) | {verdict} |"


def _reasons(row: Row) -> Iterator[str]:
    """What is known of a difference beyond its size and that products of one chip differ, which the table shows."""
    if row.verdict != "WITHIN":
        for reason in row.reason.split("; ")[1:]:
            if not reason.startswith(("published for", "measured at")):
                yield reason


if __name__ == "__main__":
    if "--check" in sys.argv[1:]:
        sys.exit(PAGE.read_text(encoding="utf-8") != page())
    write_atomically(PAGE, page().encode())
