"""Two traces side by side: by kernel, operator, API and phase; with significance where both have enough steps.

Sums are of whole files, which may hold different numbers of steps: what is tested is the time in a step.
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np

from gpuprobe import stats
from gpuprobe.trace.exact import step_rows
from gpuprobe.trace.launches import Launches, join_launches
from gpuprobe.trace.model import I64, RangeKind, Trace

FEWEST_STEPS = 3
EFFECT = 0.01
"""A change below 1 % is none, however sure."""

Group = Callable[[Trace, Launches], tuple[I64, I64, I64]]
"""Text id, duration in ns and time of launching of each event in a group."""


def diff(a: Trace, b: Trace) -> dict[str, Any]:
    """Rows of every group, largest change first (of a step, where that is tested), and whether steps were tested."""
    launches = join_launches(a), join_launches(b)
    steps = min(len(step_rows(a)), len(step_rows(b)))
    return {
        "a": a.title,
        "b": b.title,
        "steps": [len(step_rows(a)), len(step_rows(b))],
        "tested": steps >= FEWEST_STEPS,
        **{name: _rows(a, b, launches, group, steps >= FEWEST_STEPS) for name, group in GROUPS.items()},
    }


def _kernels(trace: Trace, launches: Launches) -> tuple[I64, I64, I64]:
    when = np.where(launches.known, launches.start, trace.gpu.start)
    return trace.gpu.name.astype(np.int64), trace.gpu.dur, when


def _ranges_of(kind: RangeKind) -> Group:
    def select(trace: Trace, _launches: Launches) -> tuple[I64, I64, I64]:
        rows = trace.ranges.kind == kind
        if kind == RangeKind.ANNOTATION:
            rows[step_rows(trace)] = False
        return trace.ranges.name[rows].astype(np.int64), trace.ranges.dur[rows], trace.ranges.start[rows]

    return select


def _calls(trace: Trace, _launches: Launches) -> tuple[I64, I64, I64]:
    return trace.calls.name.astype(np.int64), trace.calls.dur, trace.calls.start


GROUPS: dict[str, Group] = {
    "kernels": _kernels,
    "operators": _ranges_of(RangeKind.OPERATOR),
    "phases": _ranges_of(RangeKind.ANNOTATION),
    "calls": _calls,
}


def _rows(a: Trace, b: Trace, launches: tuple[Launches, Launches], group: Group, tested: bool) -> list[dict[str, Any]]:
    sides = [_by_name(trace, *group(trace, joined)) for trace, joined in zip((a, b), launches, strict=True)]
    counts = [max(1, len(step_rows(trace))) if tested else 1 for trace in (a, b)]
    rows = []
    for name in sides[0].keys() | sides[1].keys():
        count_a, sum_a, steps_a = sides[0].get(name, (0, 0, []))
        count_b, sum_b, steps_b = sides[1].get(name, (0, 0, []))
        row: dict[str, Any] = {
            "name": name,
            "count_a": count_a,
            "count_b": count_b,
            "sum_a_ns": sum_a,
            "sum_b_ns": sum_b,
            "change_ns": sum_b - sum_a,
            "ratio": sum_b / sum_a if sum_a and sum_b else None,
        }
        rows.append({**row, **_tested(row, steps_a, steps_b, tested)})
    return sorted(rows, key=lambda row: (-_weight(row, counts), row["name"]))


def _weight(row: dict[str, Any], steps: list[int]) -> float:
    """The change of a step; where steps are not tested, that of the whole file."""
    if row["per_step_ratio"] is not None:
        return abs(float(row["per_step_b_ns"] - row["per_step_a_ns"]))
    return abs(float(row["sum_b_ns"] / steps[1] - row["sum_a_ns"] / steps[0]))


def _by_name(trace: Trace, names: I64, durations: I64, when: I64) -> dict[str, tuple[int, int, list[int]]]:
    """Count, sum and sum in each step by name."""
    rows = step_rows(trace)
    low, high = trace.ranges.start[rows], trace.ranges.end[rows]
    order = np.lexsort((when, names))
    names, durations, when = names[order], durations[order], when[order]
    found, first, counts = np.unique(names, return_index=True, return_counts=True)
    table = {}
    for name, begin, count in zip(found.tolist(), first.tolist(), counts.tolist(), strict=True):
        part = slice(begin, begin + count)
        total = np.append(0, np.cumsum(durations[part]))
        inside = total[np.searchsorted(when[part], high)] - total[np.searchsorted(when[part], low)]
        table[trace.texts[name]] = (count, int(total[-1]), inside.tolist())
    return table


def _tested(row: dict[str, Any], steps_a: list[int], steps_b: list[int], tested: bool) -> dict[str, Any]:
    """Median time in a step of each side, their ratio b/a with its 95 % interval, and the verdict.

    ``only_a``, ``only_b``, ``slower``, ``faster``, ``same`` or ``untested`` (too few steps, or absent from some).
    """
    found: dict[str, Any] = dict.fromkeys(("per_step_a_ns", "per_step_b_ns", "per_step_ratio", "per_step_interval"))
    if not row["count_a"] or not row["count_b"]:
        return {**found, "verdict": "only_b" if row["count_b"] else "only_a"}
    if not tested or min(steps_a) <= 0 or min(steps_b) <= 0:
        return {**found, "verdict": "untested"}
    ratio = stats.is_different(steps_a, steps_b)
    slower = "slower" if ratio.ratio > 1 else "faster"
    return {
        "per_step_a_ns": median(steps_a),
        "per_step_b_ns": median(steps_b),
        "per_step_ratio": ratio.ratio,
        "per_step_interval": [ratio.low, ratio.high],
        "verdict": slower if ratio.beyond(EFFECT) else "same",
    }
