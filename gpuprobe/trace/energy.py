"""Energy of kernel classes, phases and tokens, from the sensor's ticks: a power for each class, and what follows.

Between two ticks the energy counter rises by E. The model is E = sum over classes of power x time that the class held
the GPU in that window, idle being a class. Class powers are fitted over all windows, each drawn towards the mean power
of the run as far as the ticks do not tell (so classes that always run together keep wide intervals); the sensor's lag
is the shift that fits best. Each window's measured energy is then divided in the proportions of the model: the parts
sum to what the counter said, exactly. Intervals hold 90 % of draws from the fit; they say nothing of the sensor's own
gain, about 5 % on unmetered cards. Phases are windows of the host's ranges.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gpuprobe.ops.gemm_kernel import parse
from gpuprobe.trace.classes import by_device, is_communication
from gpuprobe.trace.exact import step_rows
from gpuprobe.trace.intervals import Intervals, covered, intersection, union
from gpuprobe.trace.model import F64, I64, GpuKind, RangeKind, Trace

CLASSES = ("gemm", "attention", "communication", "other kernels", "memory", "idle")
"""What holds the GPU, most important first: where two overlap the first is charged."""
FEWEST_TICKS = 10
FEWEST_TICKS_IN_PHASE = 3
LAGS_NS = tuple(range(0, 160_000_000, 10_000_000))
DRAWS = 400
MOST_PHASES = 50
_PRIOR_SPREAD = 0.5
"""Standard deviation of a class's power before any tick is seen, as a share of the mean power."""
_LEAST_NOISE = 0.01
_ATTENTION = re.compile(r"flash|fmha|attention|attn|sdpa", re.IGNORECASE)
_GEMM = re.compile(r"gemm|gemv|nvjet|matmul|splitk", re.IGNORECASE)
_COUNTER, _POWER = "energy_j", "power_w"


class Ticks(NamedTuple):
    """Windows between the sensor's ticks, ns, the energy of each in J, and which sensor they are from."""

    low: I64
    high: I64
    energy: F64
    sensor: str


class Fit(NamedTuple):
    """Power of each class in W with draws around it, at the lag in ns that fits best."""

    power: F64
    draws: F64
    lag_ns: int
    residual_share: float


def energy(trace: Trace) -> dict[str, Any]:
    """Energy of every device that has samples; ``problems`` says what is refused and why."""
    devices, problems = {}, []
    for label, rows in by_device(trace):
        ticks = _ticks(trace, label, int(trace.gpu.start[rows].min()), int(trace.gpu.end[rows].max()))
        count = 0 if ticks is None else len(ticks.energy)
        if ticks is None or count < FEWEST_TICKS:
            problems.append(_too_few(label, count))
        else:
            devices[label] = _of_device(trace, rows, ticks)
    return {"devices": devices, "problems": problems}


def _too_few(label: str, count: int) -> str:
    if not count:
        return f"device {label} has no power samples: record with gpuprobe trace record"
    return f"device {label}: {count} ticks of the power sensor, {FEWEST_TICKS} are needed: record a second or longer"


def _of_device(trace: Trace, rows: NDArray[np.intp], ticks: Ticks) -> dict[str, Any]:
    classes = class_intervals(trace, rows)
    fit = _fit(classes, ticks)
    low, high = ticks.low - fit.lag_ns, ticks.high - fit.lag_ns
    times = _times(classes, low, high)
    seconds = float((high - low).sum()) / 1e9
    total = float(ticks.energy.sum())
    parts = _divide(times, times, ticks.energy, fit)
    return {
        "sensor": ticks.sensor,
        "ticks": len(ticks.energy),
        "lag_ns": fit.lag_ns,
        "residual_share": fit.residual_share,
        "seconds": seconds,
        "total_j": total,
        "mean_w": total / seconds,
        "classes": {
            name: _class_row(parts, index, times, fit) for index, name in enumerate(CLASSES) if times[:, index].any()
        },
        "phases": _phases(trace, classes, ticks, fit),
    }


def class_intervals(trace: Trace, rows: NDArray[np.intp]) -> list[Intervals]:
    """Disjoint times of every class but idle: where two overlap the first of CLASSES holds the GPU."""
    kind = _class_of(trace)[trace.gpu.name[rows]]
    kind[trace.gpu.kind[rows] != GpuKind.KERNEL] = CLASSES.index("memory")
    start, end = trace.gpu.start[rows], trace.gpu.end[rows]
    return [union(start[kind <= number], end[kind <= number]) for number in range(len(CLASSES) - 1)]


def _class_of(trace: Trace) -> NDArray[np.intp]:
    """The class of each text as a kernel's name."""
    used = np.zeros(len(trace.texts), bool)
    used[trace.gpu.name] = True
    found = np.full(len(trace.texts), CLASSES.index("other kernels"))
    for number in np.flatnonzero(used).tolist():
        found[number] = CLASSES.index(kernel_class(trace.texts[number]))
    return found


def kernel_class(name: str) -> str:
    """The class of a kernel by its name."""
    if is_communication(name):
        return "communication"
    if _ATTENTION.search(name):
        return "attention"
    return "gemm" if _GEMM.search(name) or parse(name).family not in ("other", "memset") else "other kernels"


def _times(classes: list[Intervals], low: I64, high: I64) -> F64:
    """Seconds of each class in each window; the classes of a window sum to it."""
    reached = np.array([covered(part, low, high) for part in classes])
    whole = np.vstack([reached, high - low])
    return (np.diff(whole, axis=0, prepend=0) / 1e9).T


def _ticks(trace: Trace, label: str, first: int, last: int) -> Ticks | None:
    """Windows between ticks while the device worked, by the energy counter, else by power samples."""
    labels = np.array([lane.device_label for lane in trace.lanes])
    for sensor in (_COUNTER, _POWER):
        if sensor not in trace.texts:
            continue
        samples = trace.samples
        mine = (samples.name == trace.texts.index(sensor)) & (labels[samples.lane] == label)
        order = np.flatnonzero(mine)[np.argsort(samples.start[mine], kind="stable")]
        time, value = samples.start[order], samples.value[order]
        if len(time) < 2:
            continue
        changed = np.append(False, value[1:] != value[:-1])
        time, value = time[changed], value[changed]
        inside = (time[:-1] < last) & (time[1:] > first) & (time[1:] > time[:-1])
        if not inside.any():
            continue
        low, high = time[:-1][inside], time[1:][inside]
        rise = np.diff(value) if sensor == _COUNTER else value[1:] * np.diff(time) / 1e9
        good = rise[inside] > 0  # a counter that was reset between two polls
        return Ticks(low[good], high[good], rise[inside][good], sensor)
    return None


def _fit(classes: list[Intervals], ticks: Ticks) -> Fit:
    """Class powers at the best lag."""
    candidates = [(*_solve(_times(classes, ticks.low - lag, ticks.high - lag), ticks.energy), lag) for lag in LAGS_NS]
    power, covariance, residual, lag = min(candidates, key=lambda found: (found[2], found[3]))
    root = np.linalg.cholesky(covariance + 1e-9 * np.eye(len(power)))
    noise = np.random.default_rng(0).standard_normal((DRAWS, len(power)))
    least = 1e-3 * power.max()
    return Fit(np.maximum(power, least), np.maximum(power + noise @ root.T, least), lag, residual)


def _solve(times: F64, energy: F64) -> tuple[F64, F64, float]:
    """Class powers in W, their covariance, and the residual as a share of the energy of a window."""
    mean = float(energy.sum() / times.sum())
    prior = np.full(times.shape[1], mean)
    precision = np.eye(times.shape[1]) / (_PRIOR_SPREAD * mean) ** 2
    noise = _LEAST_NOISE * float(energy.mean())
    for _ in range(3):  # the noise is what the fit leaves over
        inverse = np.asarray(np.linalg.inv(times.T @ times / noise**2 + precision), np.float64)
        power: F64 = inverse @ (times.T @ energy / noise**2 + precision @ prior)
        left = energy - times @ power
        freedom = max(1, len(energy) - times.shape[1])
        noise = max(_LEAST_NOISE * float(energy.mean()), float(np.sqrt((left**2).sum() / freedom)))
    return power, inverse, float(np.sqrt((left**2).mean()) / energy.mean())


def _divide(part: F64, whole: F64, energy: F64, fit: Fit) -> tuple[F64, F64]:
    """J of each class in ``part`` of the windows, and the same for every draw; ``part`` = ``whole`` conserves all."""

    def share(power: F64) -> F64:
        modelled = whole @ power
        return (energy / modelled) @ (part * power)

    return share(fit.power), np.array([share(power) for power in fit.draws])


def _interval(draws: F64, value: float) -> dict[str, float]:
    low, high = np.quantile(draws, (0.05, 0.95))
    return {"energy_j": value, "energy_j_low": min(float(low), value), "energy_j_high": max(float(high), value)}


def _class_row(parts: tuple[F64, F64], index: int, times: F64, fit: Fit) -> dict[str, float]:
    low, high = np.quantile(fit.draws[:, index], (0.05, 0.95))
    return {
        "seconds": float(times[:, index].sum()),
        **_interval(parts[1][:, index], float(parts[0][index])),
        "power_w": float(fit.power[index]),
        "power_w_low": float(low),
        "power_w_high": float(high),
    }


def _phases(trace: Trace, classes: list[Intervals], ticks: Ticks, fit: Fit) -> dict[str, Any]:
    """Energy of every named range of the host that is long enough; a reason for the others."""
    low, high = ticks.low - fit.lag_ns, ticks.high - fit.lag_ns
    whole = _times(classes, low, high)
    tick = float(np.median(high - low))
    table: dict[str, Any] = {}
    for name, count, phase in _named_phases(trace):
        length = int(covered(phase, low[:1], high[-1:])[0])
        if length < FEWEST_TICKS_IN_PHASE * tick:
            table[name] = {"refused": f"{length / tick:.1f} ticks long, {FEWEST_TICKS_IN_PHASE} are needed"}
            continue
        inside = _times([intersection(part, phase) for part in classes], low, high)
        inside[:, -1] = covered(phase, low, high) / 1e9 - inside[:, :-1].sum(axis=1)
        value, draws = _divide(inside, whole, ticks.energy, fit)
        spread = draws.sum(axis=1) + _split_windows(inside, whole, ticks, fit)
        row = {
            "count": count,
            "seconds": length / 1e9,
            "covered_share": length / phase.length,
            **_interval(spread, float(value.sum())),
        }
        table[name] = {**row, **_per_token(trace, name, count, row)}
    return table


def _split_windows(inside: F64, whole: F64, ticks: Ticks, fit: Fit) -> F64:
    """Draws of the error in J that windows bring in which the phase shares its energy with others."""
    share = (inside @ fit.power) / (whole @ fit.power)
    error = fit.residual_share * float(ticks.energy.mean()) * float(np.sqrt((share * (1 - share)).clip(min=0).sum()))
    return np.random.default_rng(1).standard_normal(DRAWS) * error


def _named_phases(trace: Trace) -> list[tuple[str, int, Intervals]]:
    """Annotations by name, longest first: how many, and the union of their times."""
    rows = trace.ranges.kind == RangeKind.ANNOTATION
    rows[step_rows(trace)] = False
    chosen = np.flatnonzero(rows)
    names, which = np.unique(trace.ranges.name[chosen], return_inverse=True)
    found = []
    for number, name in enumerate(names.tolist()):
        part = chosen[which == number]
        found.append((trace.texts[name], len(part), union(trace.ranges.start[part], trace.ranges.end[part])))
        if len(found) > 20 * MOST_PHASES:
            break
    return sorted(found, key=lambda row: -row[2].length)[:MOST_PHASES]


def _per_token(trace: Trace, name: str, count: int, row: Mapping[str, float]) -> dict[str, float]:
    """Tokens and J per token of a phase that a workload describes."""
    workload = trace.meta.get("workload", {})
    tokens = workload.get("tokens_per_step", 0) * count if workload.get("phase") == name else 0
    if not tokens:
        return {}
    per = {
        key.replace("energy_j", "energy_per_token_j"): row[key] / tokens for key in row if key.startswith("energy_j")
    }
    return {"tokens": tokens, **per}
