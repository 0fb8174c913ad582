"""Each operator against the machine: its FLOPs and bytes from its shapes, its share of the limits, its expected time.

A row is one operator with one set of shapes; its time is that of the GPU events that its calls launched. Expected is
what the GEMM predictor says (between operands in cache and in memory), and for the rest the roofline: the larger of
FLOPs over the arithmetic's rate and bytes over memory bandwidth, and no less than the trace's shortest kernel. Bytes
are least traffic: operands that a cache holds make a share above 1 possible, and it is shown as it is.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from gpuprobe.errors import GpuprobeError
from gpuprobe.ops.aten import cost_of, parse_inputs
from gpuprobe.ops.cost import Cost
from gpuprobe.predict import Predictor
from gpuprobe.trace.launches import Launches
from gpuprobe.trace.limits import Limits, limits_of
from gpuprobe.trace.model import I64, GpuKind, Trace
from gpuprobe.trace.operators import innermost_operator

OUTLIER = 1.5
"""Seen time over the upper end of what is expected, from which a row is an outlier."""
FAST = 0.7
"""Seen time under the lower end of what is expected, below which a row is one too."""
_NO_SHAPES = "no operator of this trace has shapes: record with trace record --torch-ops, or record_shapes=True"
_NO_DEVICE = "the file names no GPU of the catalogue: no share of a limit and no expected time"


_ELEMENTS = (
    (re.compile(r"bfloat16|bf16|nvjet_(sm\d+_)?t|OpaqueType<2", re.IGNORECASE), "c10::BFloat16"),
    (re.compile(r"half|f16|hgemm|nvjet_(sm\d+_)?h", re.IGNORECASE), "c10::Half"),
    (re.compile(r"float|f32|sgemm|OpaqueType<4", re.IGNORECASE), "float"),
    (re.compile(r"<long|long,|int64|OpaqueType<8", re.IGNORECASE), "long int"),
)
"""Element types that kernels' names speak of, for operators recorded with shapes alone."""


class Group(NamedTuple):
    """Calls of one operator with one set of shapes: their number, GPU events and GPU time in ns, each call's time."""

    name: str
    args: int
    cost: Cost
    calls: int
    events: int
    times_ns: I64


def roofline(trace: Trace, launches: Launches) -> dict[str, Any]:
    """Rows by excess over the expected time, largest first; what share of GPU time they cover; the limits used."""
    total = int(trace.gpu.dur[trace.gpu.kind == GpuKind.KERNEL].sum())
    groups, unknown = _groups(trace, launches)
    limits = limits_of(trace)
    rows = [_row(trace, group, limits) for group in groups]
    if limits is not None:
        _expect(rows, groups, limits, int(trace.gpu.dur[trace.gpu.kind == GpuKind.KERNEL].min(initial=1 << 60)))
    known = sum(int(group.times_ns.sum()) for group in groups)
    problems = [] if groups else [_NO_SHAPES]
    return {
        "limits": None if limits is None else limits.document(),
        "covered_share": known / total if total else None,
        "operators": sorted(rows, key=lambda row: (-(row["excess_ns"] or 0), -row["sum_ns"], row["name"])),
        "unknown": [{"name": name, "sum_ns": time} for name, time in unknown.most_common(20)],
        "problems": problems if limits is not None else [*problems, _NO_DEVICE],
    }


def _groups(trace: Trace, launches: Launches) -> tuple[list[Group], Counter[str]]:
    """Operators whose cost is known, by name and shapes; GPU time by name of those whose cost is not."""
    owner = innermost_operator(trace, launches)
    events = np.flatnonzero((owner >= 0) & (trace.gpu.kind == GpuKind.KERNEL))
    calls, first, which = np.unique(owner[events], return_index=True, return_inverse=True)
    first = events[first]
    times = np.bincount(which, weights=trace.gpu.dur[events], minlength=len(calls)).astype(np.int64)
    counts = np.bincount(which, minlength=len(calls))
    names, args = trace.ranges.name[calls].astype(np.int64), trace.ranges.args[calls].astype(np.int64)
    keys, member = np.unique(names << 32 | args, return_inverse=True)
    order = np.argsort(member, kind="stable")
    borders = np.searchsorted(member[order], np.arange(len(keys) + 1))
    groups, unknown = [], Counter[str]()
    for number, key in enumerate(keys.tolist()):
        rows = order[borders[number] : borders[number + 1]]
        name, shapes = trace.texts[key >> 32], key & 0xFFFFFFFF
        kernel = trace.texts[trace.gpu.name[first[rows[0]]]]
        cost = _cost(trace, name, shapes, kernel)
        if cost is None:
            unknown[name] += int(times[rows].sum())
        else:
            groups.append(Group(name, shapes, cost, len(rows), int(counts[rows].sum()), times[rows]))
    return groups, unknown


def _cost(trace: Trace, name: str, args: int, kernel: str) -> Cost | None:
    """The cost of an operator; where its types were not recorded, its first kernel's name tells them."""
    if not args:
        return None
    try:
        document = msgspec.json.decode(trace.texts[args].encode(), type=dict[str, Any])
        if "types" in document:
            return cost_of(name, parse_inputs(document))
        element = next((element for pattern, element in _ELEMENTS if pattern.search(kernel)), None)
        cost = None if element is None else cost_of(name, parse_inputs(document, element))
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None
    said = f"elements like {element}, by the kernel's name"
    return cost and replace(cost, assumed=f"{said}; {cost.assumed}" if cost.assumed else said)


def _row(trace: Trace, group: Group, limits: Limits | None) -> dict[str, Any]:
    cost, time_ns = group.cost, float(np.median(group.times_ns))
    row: dict[str, Any] = {
        "name": group.name,
        "kind": cost.kind,
        "rate": cost.rate,
        "shapes": _shapes(trace, group.args),
        "calls": group.calls,
        "gpu_events": group.events,
        "sum_ns": int(group.times_ns.sum()),
        "median_ns": time_ns,
        "flop": cost.flop,
        "bytes": cost.bytes,
        "flop_per_s": cost.flop / time_ns * 1e9 if time_ns else None,
        "bytes_per_s": cost.bytes / time_ns * 1e9 if time_ns else None,
        "assumed": cost.assumed,
        "bound": None,
        "share_of_limit": None,
        "expected_ns": None,
        "expected_low_ns": None,
        "expected_high_ns": None,
        "expected_by": None,
        "excess_ns": None,
        "outlier": None,
    }
    if limits is not None and time_ns:
        compute, memory = _least_times(cost, limits)
        row["bound"] = "compute" if compute > memory else "memory"
        row["share_of_limit"] = max(compute, memory) / time_ns
    return row


def _least_times(cost: Cost, limits: Limits) -> tuple[float, float]:
    """Time in ns that the arithmetic and the traffic of an operation take at the limits."""
    rate = limits.flop_per_s.get(cost.rate) or limits.flop_per_s.get("fp32")
    return (cost.flop / rate * 1e9 if rate else 0.0), cost.bytes / limits.bytes_per_s * 1e9


def _expect(rows: list[dict[str, Any]], groups: list[Group], limits: Limits, shortest_ns: int) -> None:
    """Fill in the expected times and what follows from them; no kernel takes less than the shortest of the trace."""
    predicted = _predicted(groups, limits.device)
    for row, group in zip(rows, groups, strict=True):
        low, value, high = predicted.get((group.name, group.args), (None, None, None))
        by = "gemm predictor"
        if value is None or low is None or high is None:
            low = value = high = max(*_least_times(group.cost, limits), float(shortest_ns))
            by = "roofline"
        row |= {"expected_ns": value, "expected_low_ns": low, "expected_high_ns": high, "expected_by": by}
        row["excess_ns"] = row["sum_ns"] - value * group.calls
        if by != "roofline":  # a roofline is a bound, not a time: everything small is far above it
            row["outlier"] = _outlier(row["median_ns"], low, high)


def _outlier(seen: float, low: float, high: float) -> str:
    return "slow" if seen > OUTLIER * high else "fast" if seen < FAST * low else ""


def _predicted(groups: list[Group], gpu: str) -> dict[tuple[str, int], tuple[float, float, float]]:
    """(low, value, high) in ns of every plain GEMM: lower end with operands in cache, value and upper end in memory."""
    try:
        predictor = Predictor.load(gpu)
    except GpuprobeError:
        return {}
    found = {}
    for kind in {(group.cost.gemm.dtype, group.cost.gemm.layout) for group in groups if group.cost.gemm}:
        members = [group for group in groups if (g := group.cost.gemm) and (g.dtype, g.layout) == kind]
        sizes = np.array([[g.m, g.n, g.k] for group in members if (g := group.cost.gemm)])
        try:
            columns = predictor.gemm_many(sizes, *kind)
        except GpuprobeError:
            continue
        for group, triple in zip(members, _triples(columns), strict=True):
            found[group.name, group.args] = triple
    return found


def _triples(columns: dict[str, NDArray[Any]]) -> list[tuple[float, float, float]]:
    low = np.minimum(columns["hot_us_low"], columns["cold_us_low"])
    return [
        (float(a) * 1e3, float(b) * 1e3, float(c) * 1e3)
        for a, b, c in zip(low, columns["cold_us"], columns["cold_us_high"], strict=True)
    ]


def _shapes(trace: Trace, args: int) -> list[Any]:
    """The shapes of the tensors among the inputs."""
    document = msgspec.json.decode(trace.texts[args].encode(), type=dict[str, Any])
    dims = document.get("dims", [])
    return [shape for shape in dims if shape] if isinstance(dims, list) else []
