"""A step of prefill or decode as a whole: time, power, energy, bound, and its operations by name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gpuprobe.llm import layers, layers_separate
from gpuprobe.llm.combine import longer, scaled, total
from gpuprobe.llm.hardware import Hardware, Quantity
from gpuprobe.llm.plan import Plan
from gpuprobe.llm.step import Step
from gpuprobe.llm.timing import Timed, timed
from gpuprobe.predict import Interval

POWER_SPREAD: Final = 0.2
"""Relative half-width of a step's power: parts without own data are known to 25 %, they average out a little."""


@dataclass(frozen=True)
class Phase:
    """One step of a plan; times in s, power in W and energy in J of all its GPUs together.

    ``gpu_s`` is the time that kernels take, ``host_s`` that the host needs to launch them (0 where a graph does it).
    """

    parts: tuple[Timed, ...]
    time_s: Interval
    gpu_s: Interval
    host_s: Interval
    power_w: Interval
    energy_j: Interval
    bound: str
    in_domain: bool

    @property
    def kernels(self) -> int:
        """Kernels that are launched."""
        return sum(part.operation.launches for part in self.parts)

    def by_op(self) -> list[dict[str, Any]]:
        """A row for each operation, the longest first; ``share`` is of the kernels' time."""
        rows = [
            {
                "op": part.operation.name,
                "group": part.operation.group,
                "calls": part.operation.calls,
                "kernels": part.operation.launches,
                **named("time_s", scaled(part.time_s, part.operation.calls)),
                "share": part.total_s / self.gpu_s.value,
                "energy_j": part.energy_j * part.operation.calls,
                "bound": part.bound,
                "in_domain": part.in_domain,
                "origin": part.origin,
            }
            for part in self.parts
        ]
        return sorted(rows, key=lambda row: -float(row["time_s"]))


def phase(plan: Plan, step: Step, gpu: Hardware) -> Phase:
    """The step on its GPUs, which all do the same."""
    listed = layers if plan.kernels == "fused" else layers_separate
    unthrottled = [timed(one, gpu) for one in listed.operations(plan, step)]
    host = _host(plan, step, sum(one.operation.launches for one in unthrottled), gpu)
    part = _throttle(unthrottled, host.value, gpu)
    parts = tuple(one.throttled(part) for one in unthrottled)
    busy = total((one.time_s, one.operation.calls) for one in parts)
    queued = _launched(plan, sum(one.operation.launches for one in parts), busy, gpu)
    time_s = longer(queued, host)
    power_w = _power(plan, _energy_j(parts), busy.value, time_s.value, gpu)
    return Phase(
        parts, time_s, busy, host, power_w, _energy(power_w, time_s),
        "launch" if host.value > queued.value else _bound(parts, queued.value - busy.value),
        _in_domain(parts, busy.value),
    )  # fmt: skip


def _energy_j(parts: Iterable[Timed]) -> float:
    return sum(one.energy_j * one.operation.calls for one in parts)


def _throttle(parts: Sequence[Timed], host_s: float, gpu: Hardware) -> float:
    """How much of the power cap's effect the step sees: as much as brings its mean power down to the cap.

    GEMMs at the cap give way to kernels that draw less, so that they run faster than a GPU's that does GEMMs only.
    """
    quick = sum(one.total_s for one in parts)
    slow = sum(one.throttled(1.0).total_s for one in parts)
    needed = _energy_j(parts) / gpu.machine.tdp_w
    if slow <= quick or needed <= max(quick, host_s):
        return 0.0
    return min((needed - quick) / (slow - quick), 1.0)


def _power(plan: Plan, energy_j: float, busy_s: float, time_s: float, gpu: Hardware) -> Interval:
    """Mean power of all GPUs: their kernels' energy, and rest while they wait for the host; at most the cap."""
    waiting_s = max(time_s - busy_s, 0.0)
    cap_w = gpu.machine.tdp_w
    mean_w = min((energy_j + waiting_s * gpu["idle_w"].value) / time_s, cap_w)
    high_w = max(min(mean_w * (1 + POWER_SPREAD), cap_w), mean_w)
    return scaled(Interval(mean_w, mean_w * (1 - POWER_SPREAD), high_w), plan.tp)


def _host(plan: Plan, step: Step, kernels: int, gpu: Hardware) -> Interval:
    """Time in which the host launches the kernels one by one; with graphs it is not what a step waits for."""
    if plan.mode != "eager":
        return Interval(0.0, 0.0, 0.0)
    parts = [(_interval(gpu["host_kernel_s"]), float(kernels))]
    if plan.kernels == "separate" and step.is_decode:
        parts.append((_interval(gpu["host_length_s"]), 1.0))
    return total(parts)


def _interval(one: Quantity) -> Interval:
    return Interval(one.value, one.low, one.high)


def _launched(plan: Plan, kernels: int, busy: Interval, gpu: Hardware) -> Interval:
    """The kernels one after another; on a stream the gaps between them are wider than inside a graph."""
    gap = max(gpu["stream_s"].value - gpu["node_s"].value, 0.0) if plan.mode == "eager" else 0.0
    return Interval(*(one + gap * kernels for one in busy))


def _energy(power_w: Interval, time_s: Interval) -> Interval:
    """Power times time, their errors independent."""
    value = power_w.value * time_s.value
    down = ((1 - power_w.low / power_w.value) ** 2 + (1 - time_s.low / time_s.value) ** 2) ** 0.5
    up = ((power_w.high / power_w.value - 1) ** 2 + (time_s.high / time_s.value - 1) ** 2) ** 0.5
    return Interval(value, value / (1 + down), value * (1 + up))


def _bound(parts: tuple[Timed, ...], gaps_s: float) -> str:
    """What most of the time goes to; gaps between kernels are launch."""
    shares = {"launch": gaps_s}
    for part in parts:
        shares[part.bound] = shares.get(part.bound, 0.0) + part.total_s
    return max(shares, key=lambda name: shares[name])


def _in_domain(parts: tuple[Timed, ...], busy_s: float) -> bool:
    """Whether data stand behind nine tenths of the kernels' time."""
    return sum(part.total_s for part in parts if part.in_domain) >= 0.9 * busy_s


def named(name: str, one: Interval) -> dict[str, float]:
    """A value and its interval as keys of a document."""
    return {name: one.value, f"{name}_low": one.low, f"{name}_high": one.high}
