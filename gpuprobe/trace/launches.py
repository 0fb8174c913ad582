"""Which host call launched which GPU event, and statistics of launching over every API, graphs included."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuprobe.trace.model import I64, GpuKind, Trace

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Launches:
    """The launch call of each GPU event: ``call`` is its row in Trace.calls, -1 for an orphan.

    Where several calls share a correlation the one that starts last counts (a driver call nested in its runtime call).
    ``start`` and ``end`` are the call's times (0 for orphans); ``graph`` marks events of a graph launch.
    """

    call: I64
    start: I64
    end: I64
    graph: Mask

    @property
    def known(self) -> Mask:
        """Events whose launch is in the file."""
        return self.call >= 0


def join_launches(trace: Trace) -> Launches:
    """Join GPU events to the calls that launched them, by correlation."""
    calls, gpu = trace.calls, trace.gpu
    rows = np.flatnonzero(calls.correlation != 0)
    order = rows[np.lexsort((rows, calls.start[rows], calls.correlation[rows]))]
    correlations = calls.correlation[order]
    last = np.append(correlations[1:] != correlations[:-1], True)[: len(correlations)]
    order, correlations = order[last], correlations[last]
    if len(order) == 0:
        none = np.zeros(len(gpu.start), np.int64)
        return Launches(none - 1, none, none, none > 0)
    found = np.minimum(np.searchsorted(correlations, gpu.correlation), len(order) - 1)
    known = (correlations[found] == gpu.correlation) & (gpu.correlation != 0)
    call = np.where(known, order[found], -1)
    is_graph = trace.text_mask(lambda text: "GraphLaunch" in text)[calls.name]
    return Launches(
        call,
        np.where(known, calls.start[call], 0),
        np.where(known, calls.end[call], 0),
        known & is_graph[call],
    )


def launch_statistics(trace: Trace, launches: Launches) -> list[dict[str, Any]]:
    """One row per launch API: calls, GPU events, time inside the call and delay from its end to the GPU event, ns."""
    known = launches.known
    names = trace.calls.name[launches.call[known]]
    delay = (trace.gpu.start - launches.end)[known]
    rows = []
    for name in np.unique(names).tolist():
        of_name = names == name
        calls = np.unique(launches.call[known][of_name])
        cpu = trace.calls.dur[calls]
        rows.append(
            {
                "api": trace.texts[name],
                "calls": len(calls),
                "gpu_events": int(of_name.sum()),
                "events_per_call": float(of_name.sum() / len(calls)),
                "call_sum_ns": int(cpu.sum()),
                "call_median_ns": float(np.median(cpu)),
                "call_p95_ns": float(np.percentile(cpu, 95)),
                "delay_median_ns": float(np.median(delay[of_name])),
                "delay_p95_ns": float(np.percentile(delay[of_name], 95)),
                "delay_negative": int((delay[of_name] < 0).sum()),
            }
        )
    return sorted(rows, key=lambda row: (-row["gpu_events"], row["api"]))


def short_kernels(trace: Trace, launches: Launches) -> dict[str, int]:
    """How many launched kernels run shorter than their own launch call, and how many calls and delays are long."""
    kernels = launches.known & (trace.gpu.kind == GpuKind.KERNEL) & ~launches.graph
    call_ns = (launches.end - launches.start)[kernels]
    return {
        "kernels": int(kernels.sum()),
        "shorter_than_their_call": int((trace.gpu.dur[kernels] < call_ns).sum()),
        "calls_over_50us": int((call_ns > 50_000).sum()),
        "delays_over_100us": int(((trace.gpu.start - launches.end)[kernels] > 100_000).sum()),
        "orphans": int((~launches.known).sum()),
    }
