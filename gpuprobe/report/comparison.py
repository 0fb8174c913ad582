"""Run to run: the verdicts of gpuprobe.comparison with the noise that the probes declare."""

from __future__ import annotations

from collections import Counter

from gpuprobe.comparison import Comparison, compare
from gpuprobe.floors import declared
from gpuprobe.record import Run
from gpuprobe.report.format import cut, params, quantity
from gpuprobe.report.run_tables import said
from gpuprobe.report.tables import Cell, Table, plain

_COLUMNS = (
    ("probe", False),
    ("parameters", False),
    ("a", True),
    ("b", True),
    ("b / a", True),
    ("verdict", False),
    ("flags", False),
)
MOST_ROWS = 800
_CLASSES = {"SLOWER": "bad", "FASTER": "good"}


class ComparisonView:
    """Run ``b`` beside run ``a``; ``number`` keeps the ids of several comparisons in one page apart."""

    def __init__(self, a: Run, b: Run, number: int) -> None:
        self.a, self.b, self.number = a, b, number
        self.comparison: Comparison = compare(a, b, confidence=0.95, floors=declared(a))

    @property
    def names(self) -> tuple[str, str]:
        """What a and b are called in headings: devices where these differ, else the runs' ids."""
        if self.comparison.same_device:
            return cut(self.a.run_id, 60), cut(self.b.run_id, 60)
        return cut(self.a.device.product, 60), cut(self.b.device.product, 60)

    def verdicts(self) -> list[tuple[str, int]]:
        """Verdicts of the rows as measured, and their number, most first."""
        return Counter(str(row.verdict) for row in self.comparison.rows if row.domain == "native").most_common()

    def table(self) -> Table:
        """Rows in the unit they were measured in, those that differ most first and no more than a page bears."""
        native = [row for row in self.comparison.rows if row.domain == "native"]
        shown = sorted(native, key=lambda row: -row.apart)[:MOST_ROWS]
        cut_off = f": the {len(shown)} of {len(native)} rows that differ most" if len(shown) < len(native) else ""
        rows = [
            (
                Cell(row.name, small=row.quantity),
                params(row.params),
                Cell(quantity(row.value_a, row.unit), row.value_a),
                Cell(quantity(row.value_b, row.unit), row.value_b),
                Cell(f"{row.ratio:.4f}", row.ratio, f"{row.low:.4f} to {row.high:.4f}"),
                Cell(str(row.verdict), class_=_CLASSES.get(str(row.verdict), "")),
                Cell(" ".join(row.flags), class_="w" if row.flags else ""),
            )
            for row in shown
        ]
        return plain(
            f"comparison-{self.number}", f"{self.names[1]} (b) beside {self.names[0]} (a){cut_off}", _COLUMNS, rows
        )

    def surroundings(self) -> Table | None:
        """What differs around the two runs; None where nothing does."""
        rows = [
            (said(key, a)[0], said(key, a)[1], said(key, b)[1])
            for key, (a, b) in self.comparison.environment_diff.items()
        ]
        columns = (("what", False), ("a", False), ("b", False))
        return plain(f"surroundings-{self.number}", "What differs around the runs", columns, rows) if rows else None
