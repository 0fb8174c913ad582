"""A DeviceProfile from a Run: one table says which measurement becomes which number; what a run lacks is left out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache

from gpuprobe.profile import (
    Bandwidth,
    Curve,
    DeviceProfile,
    Energy,
    Latency,
    LaunchCost,
    Part,
    Peak,
    Power,
    Value,
    label,
    value_of,
)
from gpuprobe.record import DeviceSpec, Measurement, Run

Make = Callable[[Measurement, Value, DeviceSpec], Part | None]

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30


@dataclass(frozen=True)
class Rule:
    """Measurements of a probe (glob), quantity (glob) and unit (glob) become what ``make`` says, None for none."""

    probe: str
    quantity: str
    unit: str
    make: Make


def _tensor(instruction: str, axis: str = "TYPE") -> Make:
    """A peak of a tensor instruction by its type: ``F16`` or ``S8_M16N8K32``; ``SP_`` and SPARSE mark sparse ones."""

    def make(row: Measurement, value: Value, device: DeviceSpec) -> Part | None:
        words = str(row.params.get(axis, "")).lower().split("_")
        sparse = words[0] == "sp" or row.params.get("SPARSE") == 1
        kinds = [word for word in words if word in _KINDS]
        if not kinds or (len(kinds) > 1 and kinds[0] in _FP8 and kinds[1] in _FP8 and kinds[0] != kinds[1]):
            return None  # operands of two types
        if words == ["f64", "m8n8k4"] and row.limit and row.value < 0.75 * row.limit:
            return None  # sm_90 reaches its peak with larger shapes alone, whose whole-GPU rate is not measured
        narrow = len(kinds) > 1 and kinds[-1] == "f16"
        name = instruction + (" sparse" if sparse else "")
        return Peak(kinds[0] + ("_acc16" if narrow else ""), name, str(row.params.get("OPERANDS", "any")), value)

    return make


_FP8 = ("e4m3", "e5m2")
_KINDS = ("f16", "bf16", "tf32", "f64", "s8", "s4", "b1", *_FP8)


def _core(row: Measurement, value: Value, device: DeviceSpec) -> Part | None:
    """A peak of the ordinary cores: operations of an instruction of one thread times its rate."""
    found = {"FFMA": ("fp32", 2.0), "DFMA": ("fp64", 2.0), "HFMA2": ("fp16", 4.0), "IMAD": ("int32", 2.0)}
    op = str(row.params.get("OP"))
    rate = _of_gpu(row, value, device, "FLOP/s", found[op][1]) if op in found else None
    return Peak(found[op][0], op, "any", rate) if rate else None


def _bandwidth(level: str, axis: str = "MODE", names: Mapping[str, str] | None = None) -> Make:
    """Bandwidth of a level, in B/s or in bytes per cycle of an SM at the measured clock; ``axis`` names the mode."""

    def make(row: Measurement, value: Value, device: DeviceSpec) -> Part | None:
        setting = str(row.params.get(axis, "READ"))
        mode = (names or {}).get(setting, setting.lower().replace("_", " "))
        rate = value if value.unit == "B/s" else _of_gpu(row, value, device, "B/s")
        return Bandwidth(level, mode, rate) if rate else None

    return make


def _of_gpu(row: Measurement, value: Value, device: DeviceSpec, unit: str, factor: float = 1.0) -> Value | None:
    """What is measured per cycle of an SM as a rate of all SMs at the clock beside it; None without a clock."""
    if not row.sm_clock_hz:
        return None
    scale = factor * device["sm_count"] * row.sm_clock_hz
    source = f"{value.source}, times SMs and clock"
    return Value(value.value * scale, value.low * scale, value.high * scale, unit, value.origin, source)


def _of_another(make: Make) -> Make:
    """Rows about the memory of another block: a block's own, through the cluster's window, is ordinary shared."""

    def made(row: Measurement, value: Value, device: DeviceSpec) -> Part | None:
        own = row.params.get("PATTERN") == "OWN" or row.params.get("PEER") == 0
        return None if own else make(row, value, device)

    return made


def _latency(what: str, *axes: str) -> Make:
    """A cost in cycles; its name ends in the settings of ``axes``."""

    def make(row: Measurement, value: Value, device: DeviceSpec) -> Part:
        settings = [str(row.params[axis]).lower().replace("_", " ") for axis in axes if axis in row.params]
        return Latency(" ".join([what, *settings]).strip(), value)

    return make


def _footprint(row: Measurement, value: Value, device: DeviceSpec) -> Part | None:
    """Latency plateaus at footprints that surely lie in one level."""
    levels = {("CA", 64 * KIB): "L1", ("CG", 4 * MIB): "L2", ("CG", 2 * GIB): "DRAM"}
    what = levels.get((str(row.params.get("CACHE")), int(row.params.get("BYTES", 0))))
    return Latency(what, value) if what else None


def _constant(row: Measurement, value: Value, device: DeviceSpec) -> Part | None:
    """The two caches of constants, at footprints that surely lie in one of them."""
    what = {1 * KIB: "constant L1", 16 * KIB: "constant L1.5"}.get(int(row.params.get("BYTES", 0)))
    return Latency(what, value) if what else None


def _matrix(what: str) -> Make:
    def make(row: Measurement, value: Value, device: DeviceSpec) -> Part:
        transposed = " transposed" if row.params.get("TRANS") == 1 else ""
        return Latency(f"{what} x{row.params['X']}{transposed}", value)

    return make


def _barrier(row: Measurement, value: Value, device: DeviceSpec) -> Part | None:
    warps = int(row.params.get("WARPS", 0))
    name = {"SYNCTHREADS": "__syncthreads"}.get(str(row.params.get("OP")))
    return Latency(f"{name}, {warps} warp{'s' if warps > 1 else ''}", value) if name else None


def _launch(what: str, *axes: str) -> Make:
    """A cost in seconds; its name ends in the settings of ``axes``."""

    def make(row: Measurement, value: Value, device: DeviceSpec) -> Part:
        settings = [f"{axis.lower()} {row.params[axis]}" for axis in axes if axis in row.params]
        return LaunchCost(", ".join([what, *settings]), value)

    return make


def _energy(axis: str, prefix: str = "") -> Make:
    names = {"READ": "DRAM read", "WRITE": "DRAM write", "SHARED": "shared"}

    def make(row: Measurement, value: Value, device: DeviceSpec) -> Part:
        name = str(row.params[axis])
        what = f"{prefix} {name.lower().split('_')[0]}" if prefix else names.get(name, name)
        return Energy(what, str(row.params.get("OPERANDS", "random")), value)

    return make


def _state(row: Measurement, value: Value, device: DeviceSpec) -> Part:
    return Power(str(row.params["STATE"]).lower(), value)


RULES: tuple[Rule, ...] = (
    Rule("wgmma_sustained*", "throughput", "*/s", _tensor("wgmma for seconds")),
    Rule("wgmma*rate*", "throughput", "*/s", _tensor("wgmma")),
    Rule("mma_rate", "throughput", "*/s", _tensor("mma.sync")),
    Rule("mma_*", "throughput", "*/s", _tensor("mma.sync", "MMA")),
    Rule("op_rate", "rate", "op/cycle/SM", _core),
    Rule("dram_bandwidth", "throughput", "B/s", _bandwidth("DRAM")),
    Rule("l2_bandwidth", "throughput", "B/s", _bandwidth("L2")),
    Rule("l1_bandwidth", "rate", "B/cycle/SM", _bandwidth("L1")),
    Rule("shared_bandwidth", "rate", "B/cycle/SM", _bandwidth("shared", "OP", {"LD": "read", "ST": "write"})),
    Rule("dsm_rate", "rate", "B/cycle/SM", _of_another(_bandwidth("distributed shared", "OP"))),
    Rule("host_copy", "bandwidth", "B/s", _bandwidth("host", "DIRECTION")),
    Rule("global_latency", "latency", "cycle", _footprint),
    Rule("l2_near_far", "near", "cycle", _latency("L2 near")),
    Rule("l2_near_far", "far", "cycle", _latency("L2 far")),
    Rule("shared_latency", "latency", "cycle", _latency("shared", "MODE")),
    Rule("constant_latency", "latency", "cycle", _constant),
    Rule("mma_latency", "latency", "cycle", _latency("mma.sync", "TYPE")),
    Rule("mma_rate", "latency", "cycle", _latency("mma.sync", "TYPE")),
    Rule("mma_*", "latency", "cycle", _latency("mma.sync", "MMA")),
    Rule("wgmma_latency", "latency", "cycle", _latency("wgmma", "TYPE", "FORM")),
    Rule("ldmatrix_latency", "latency", "cycle", _matrix("ldmatrix")),
    Rule("stmatrix_latency", "latency", "cycle", _matrix("stmatrix")),
    Rule("mufu_latency", "latency", "cycle", _latency("MUFU", "OP")),
    Rule("ffma_latency", "latency", "cycle", _latency("FFMA")),
    Rule("dfma_latency", "latency", "cycle", _latency("DFMA")),
    Rule("iadd3_latency", "latency", "cycle", _latency("IADD3")),
    Rule("op_latency", "latency", "cycle", _latency("", "OP")),
    Rule("sequence_latency", "latency", "cycle", _latency("", "OP")),
    Rule("dpx_latency", "latency", "cycle", _latency("DPX", "OP")),
    Rule("barrier_latency", "latency", "cycle", _barrier),
    Rule("dsm_latency", "latency", "cycle", _of_another(_latency("distributed shared", "MODE"))),
    Rule("null_kernel", "period", "s", _launch("kernel on a stream, period")),
    Rule("null_kernel", "api", "s", _launch("kernel on a stream, API call")),
    Rule("null_graph", "period", "s", _launch("graph node, period")),
    Rule("null_graph", "api", "s", _launch("graph launch of 512 nodes, API call")),
    Rule("grid_barrier", "barrier", "s", _launch("barrier of the grid", "ALGORITHM")),
    Rule("launch_cost", "period", "s", _launch("kernel after kernel, period", "KIND", "BLOCKS")),
    Rule("launch_marks", "api", "s", _launch("launch call to its return", "KIND")),
    Rule("launch_marks", "start", "s", _launch("launch call to kernel start", "KIND")),
    Rule("launch_marks", "done", "s", _launch("launch call to a drained stream", "KIND")),
    Rule("energy_alu", "energy", "J/*", _energy("OP")),
    Rule("energy_data", "energy", "J/*", _energy("LEVEL")),
    Rule("energy_wgmma", "energy", "J/*", _energy("TYPE", "wgmma")),
    Rule("energy_mma", "energy", "J/*", _energy("TYPE", "mma.sync")),
    Rule("energy_idle", "power", "W", _state),
)


@dataclass(frozen=True)
class Along:
    """A curve: probe and quantity of its points, the axis they lie along and its unit in bytes, what they share."""

    probe: str
    quantity: str
    axis: str
    bytes_each: int = 1
    setting: tuple[str, str] | None = None


CURVES: Mapping[str, Along] = {
    "latency through L1": Along("global_latency", "latency", "BYTES", setting=("CACHE", "CA")),
    "latency past L1": Along("global_latency", "latency", "BYTES", setting=("CACHE", "CG")),
    "latency of constants": Along("constant_latency", "latency", "BYTES"),
    "latency over pages of 2 MiB": Along("tlb_reach", "latency", "MIB", MIB),
    "L2 bandwidth over the set": Along("l2_bandwidth_curve", "throughput", "MIB", MIB),
}

DATASHEET_PEAKS = {
    "fp32_flop_per_s": "fp32",
    "fp64_flop_per_s": "fp64",
    "fp16_flop_per_s": "fp16",
    **{f"tensor_{kind}_flop_per_s": kind for kind in ("f16", "bf16", "tf32", "f64", "e4m3", "e5m2")},
    "tensor_s8_op_per_s": "s8",
    "tensor_s4_op_per_s": "s4",
}
NUMBERS = ("sm_count", "boost_clock_hz", "memory_bytes", "l2_bytes", "tdp_w", "dram_bandwidth_bytes_per_s")


def profile_of(run: Run) -> DeviceProfile:
    """The profile of the device of ``run``: its measurements by RULES, and datasheet numbers beside them."""
    parts = _best_of(part for row in run.measurements for part in _made(row, run))
    parts += [curve for what in CURVES if (curve := _curve(what, run)) is not None]
    note = f"measured by gpuprobe on {run.device.product}, {run.started_at[:10]}, driver {run.environment.driver}"
    return profile_from(run.device, note, parts)


def profile_from(device: DeviceSpec, note: str, parts: Iterable[Part]) -> DeviceProfile:
    """A profile of ``parts``, with what the datasheet of ``device`` says beside them."""
    every = [*parts, *datasheet(device)]
    return DeviceProfile(
        name=device.name,
        product=device.product,
        architecture=device.architecture,
        note=note,
        numbers={key: device[key] for key in NUMBERS if device.get(key) is not None},
        peaks=tuple(part for part in every if isinstance(part, Peak)),
        bandwidths=tuple(part for part in every if isinstance(part, Bandwidth)),
        latencies=tuple(part for part in every if isinstance(part, Latency)),
        curves=tuple(part for part in every if isinstance(part, Curve)),
        launches=tuple(part for part in every if isinstance(part, LaunchCost)),
        energies=tuple(part for part in every if isinstance(part, Energy)),
        powers=tuple(part for part in every if isinstance(part, Power)),
    )


def datasheet(device: DeviceSpec) -> list[Part]:
    """Peaks and DRAM bandwidth that the data sheet states."""
    found: list[Part] = []
    for key, kind in DATASHEET_PEAKS.items():
        number = device.numbers.get(key)
        if number is not None:
            value = Value(number.value, number.value, number.value, "FLOP/s", "datasheet", number.source)
            found.append(Peak(kind, "data sheet", "any", value))
    number = device.numbers.get("dram_bandwidth_bytes_per_s")
    if number is not None:
        value = Value(number.value, number.value, number.value, "B/s", "datasheet", number.source)
        found.append(Bandwidth("DRAM", "read", value))
    return found


def _made(row: Measurement, run: Run) -> list[Part]:
    """What a measurement becomes: by the first rule that fits it."""
    if not _usable(row):
        return []
    rule = _rule(row.name, row.quantity, row.unit)
    part = None if rule is None else rule.make(row, _value(row, run.run_id), run.device)
    return [] if part is None else [part]


@cache
def _rule(name: str, quantity: str, unit: str) -> Rule | None:
    """The first rule that fits a row; a run has thousands of rows of some hundred kinds."""
    texts = (name, quantity, unit)
    return next((rule for rule in RULES if all(map(fnmatchcase, texts, (rule.probe, rule.quantity, rule.unit)))), None)


def _usable(row: Measurement) -> bool:
    return math.isfinite(row.value) and row.value > 0 and "emulated" not in row.flags


def _value(row: Measurement, run_id: str) -> Value:
    return Value(row.value, row.low, row.high, row.unit, "measured", f"{run_id}, {row.name}")


def _best_of(parts: Iterable[Part]) -> list[Part]:
    """Of parts of one name (points of a searched grid) the highest rate, or the least cost."""
    chosen: dict[tuple[type, str], Part] = {}
    for part in parts:
        key = type(part), label(part)
        held = chosen.get(key)
        rate = isinstance(part, (Peak, Bandwidth))
        if held is None or (value_of(part).value > value_of(held).value) == rate:
            chosen[key] = part
    return list(chosen.values())


def _curve(what: str, run: Run) -> Curve | None:
    along = CURVES[what]
    points = {
        float(row.params[along.axis]) * along.bytes_each: _value(row, run.run_id)
        for row in run.measurements
        if (row.name, row.quantity) == (along.probe, along.quantity)
        and along.axis in row.params
        and (along.setting is None or row.params.get(along.setting[0]) == along.setting[1])
        and _usable(row)
    }
    return Curve(what, tuple(sorted(points.items()))) if len(points) > 1 else None
