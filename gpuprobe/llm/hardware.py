"""The numbers of a GPU (and of its host and links) that a step is computed from, each with interval and origin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from gpuprobe import arch, device, profile_files
from gpuprobe.errors import GpuprobeError
from gpuprobe.predict import Predictor
from gpuprobe.predict.machine import Machine, machine, with_profile
from gpuprobe.profile import DeviceProfile, Value
from gpuprobe.profile_of_run import profile_from
from gpuprobe.record import DeviceSpec
from gpuprobe.roofline import KINDS

RECORDED: Final = "reports/h100-sxm/llama-1b: Llama 3.2 1B by PyTorch 2.11 and transformers on an H100 SXM"

_LARGEST: Final = 1e18


@dataclass(frozen=True)
class Quantity:
    """A number that predictions use: its 90 % interval, unit, origin and source.

    ``origin``: measured, published, datasheet, recorded (seen in this project's traces), assumed, or given by the user.
    """

    value: float
    low: float
    high: float
    unit: str
    origin: str
    source: str

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Hardware:
    """A GPU with everything that times, powers and memory follow from; ``numbers`` by name."""

    name: str
    product: str
    numbers: Mapping[str, Quantity]
    predictor: Predictor
    machine: Machine
    has_fp8: bool

    def __getitem__(self, name: str) -> Quantity:
        return self.numbers[name]

    def for_type(self, dtype: str) -> Hardware:
        """Itself; GpuprobeError where it has no matrix units for a type of weights."""
        if dtype == "fp8" and not self.has_fp8:
            raise GpuprobeError(f"{self.name} has no matrix units for fp8", "use --dtype bf16, or a GPU from Ada on")
        return self

    def given(self, values: Mapping[str, float]) -> Hardware:
        """The same with numbers of the user's; GpuprobeError for one that does not exist or is not positive."""
        changed = dict(self.numbers)
        for name, value in values.items():
            if name not in changed:
                raise GpuprobeError(f"there is no number '{name}'", f"one of: {', '.join(changed)}")
            if not 0 < value < _LARGEST:
                raise GpuprobeError(
                    f"{name} = {value:g}", f"give a positive number in {changed[name].unit or 'parts of 1'}"
                )
            changed[name] = Quantity(value, value, value, changed[name].unit, "given", "by the user")
        return replace(self, numbers=changed)


SHARES: Final = {
    "attention_share": Quantity(
        0.68, 0.50, 0.78, "", "published",
        "causal attention reaches this share of the matrix units on long prompts, heads 128 wide: FlashAttention-3 on "
        "H100 616 TFLOP/s at 16k (arXiv:2407.08608), FlashAttention-2 on A100 50 to 73 % (arXiv:2307.08691)",
    ),
    "attention_half": Quantity(
        600.0, 400.0, 800.0, "token", "published",
        "prompt at which half of it is reached: 292 TFLOP/s at 512 tokens, 579 at 4k on H100 (arXiv:2407.08608)",
    ),
    "cache_read_share": Quantity(
        0.75, 0.60, 0.90, "", "recorded", f"reads of keys and values over DRAM bandwidth: 0.69 to 0.75 in {RECORDED}"
    ),
    "traffic_share": Quantity(
        1.0, 0.75, 1.1, "", "recorded", f"elementwise kernels over the bandwidth of copies: 0.9 to 1.1 in {RECORDED}"
    ),
    "strided_share": Quantity(
        0.6, 0.45, 0.9, "", "recorded", f"PyTorch's kernels on views over the same: 0.5 to 0.8 in {RECORDED}"
    ),
    "scan_s": Quantity(
        2.8e-10, 1.5e-10, 1e-9, "s/entry", "recorded", f"greedy choice, 34 to 37 us for 128,256 entries in {RECORDED}"
    ),
    "host_kernel_s": Quantity(
        23e-6, 15e-6, 40e-6, "s", "recorded", f"host's time per launch, a property of that host and program: {RECORDED}"
    ),
    "host_length_s": Quantity(
        38e-3, 30e-3, 50e-3, "s", "recorded",
        "host's time once a step before the first attention over a cache that has grown, as PyTorch runs it (a gap of "
        f"37 to 46 ms at every batch, probably cuDNN planning for a new length; no engine does this): {RECORDED}",
    ),
    "link_share": Quantity(0.7, 0.35, 0.9, "", "assumed", "all-reduce over the link's bandwidth; not measured"),
    "link_latency_s": Quantity(
        16e-6, 5e-6, 30e-6, "s", "published",
        "an all-reduce of little data: what steps on 2 and 4 A100s take beyond those on 1, TensorRT-LLM in "
        "LLM-Inference-Bench (argonne-lcf, 2024); not measured by this project",
    ),
    "reserve_bytes": Quantity(
        1.5e9, 0.5e9, 4e9, "B", "assumed", "CUDA context, libraries' workspaces, fragmentation; not measured"
    ),
}  # fmt: skip
"""Numbers that are not of one GPU."""

_NODE: Final = Quantity(0.9e-6, 0.7e-6, 1.3e-6, "s", "assumed", "period of graph nodes: 0.78 us on H100, 0.94 on L40")
_STREAM: Final = Quantity(1.7e-6, 1.4e-6, 2.2e-6, "s", "assumed", "period of kernels: 1.5 us on A100, 1.7 on H100")
_IDLE: Final = 0.7
"""Power while the GPU waits for the host over that of awake SMs: 125 to 173 W on H100."""
_DRAM_CYCLES: Final = 650.0
_COPY: Final = 0.9
"""Copies over reads where only one of them is known: 0.91 on H100."""
_BEST_READ: Final = 0.92
"""Reads over the data sheet's bandwidth where nothing is measured: 0.94 on H100, 0.87 on A100, 0.98 on L40."""
_L2_OVER_DRAM: Final = 2.5


def hardware(gpu: str) -> Hardware:
    """A GPU of the catalogue, or PATH.toml."""
    spec = device.load(gpu)
    profile = profile_from(spec, "device file", ()) if gpu.endswith(".toml") else profile_files.load(spec.name)
    has_fp8 = spec.get("tensor_e4m3_flop_per_s") is not None or "e4m3" in arch.parse(spec.architecture).tensor_fma
    numbers = {**_of_gpu(profile, spec), **SHARES, **_links(profile, spec)}
    made = with_profile(machine(spec, "bf16"), profile, "bf16")
    return Hardware(spec.name, spec.product, numbers, Predictor.load(gpu), made, has_fp8)


def _of_gpu(profile: DeviceProfile, spec: DeviceSpec) -> dict[str, Quantity]:
    """Bandwidths, peak, least time of a kernel and memory, measured where the profile has them."""
    read = profile.bandwidth("DRAM", "read")
    if read is None:
        raise GpuprobeError(f"no DRAM bandwidth is known of {spec.name}", "add dram_bandwidth_gb_per_s to its file")
    reads = of_value(read) if read.origin != "datasheet" else _scaled(of_value(read), _BEST_READ, "0.87 to 0.98 of it")
    copy = profile.bandwidth("DRAM", "copy") or profile.bandwidth("DRAM", "triad")
    l2 = profile.bandwidth("L2", "copy") or profile.bandwidth("L2", "read") or profile.bandwidth("L2", "read all")
    node, stream = profile.launch("graph node, period"), profile.launch("kernel on a stream, period")
    peak = profile.peak(KINDS["bf16"]) or profile.peak(KINDS["fp16"])
    return {
        "dram_read": reads,
        "dram_copy": of_value(copy) if copy and copy.origin != "datasheet" else _scaled(reads, _COPY, "copies: 0.9"),
        "l2_copy": of_value(l2) if l2 else _scaled(reads, _L2_OVER_DRAM, "L2: 2.5 times DRAM"),
        "peak": of_value(peak) if peak else _by_architecture(spec),
        "node_s": of_value(node) if node else _NODE,
        "stream_s": of_value(stream) if stream else _STREAM,
        "kernel_s": _least(node, profile, spec),
        "memory_bytes": _memory(profile),
        "idle_w": _idle(profile, spec),
        "l2_bytes": _stated(spec["l2_bytes"], "B", "device file"),
    }


def of_value(value: Value) -> Quantity:
    """A profile's number."""
    return Quantity(value.value, value.low, value.high, value.unit, value.origin, value.source)


def _scaled(one: Quantity, factor: float, why: str) -> Quantity:
    """A number derived from another by a typical factor, ±12 %."""
    return Quantity(
        one.value * factor,
        one.low * factor * 0.88,
        one.high * factor * 1.12,
        one.unit,
        "assumed",
        f"{why}; {one.source}",
    )


def _stated(value: float, unit: str, source: str) -> Quantity:
    return Quantity(value, value, value, unit, "datasheet", source)


def _least(node: Value | None, profile: DeviceProfile, spec: DeviceSpec) -> Quantity:
    """Time of a kernel that reads and writes hardly anything: the period of empty ones and one trip to DRAM."""
    cycles = profile.latency("DRAM")
    trip_s = (cycles.value if cycles else _DRAM_CYCLES) / spec["boost_clock_hz"]
    period = of_value(node) if node else _NODE
    origin = period.origin if cycles else "assumed"
    return Quantity(
        period.value + trip_s, period.low + trip_s / 2, 2 * (period.high + trip_s), "s", origin,
        f"period of graph nodes and DRAM latency: {period.source}",
    )  # fmt: skip


def _by_architecture(spec: DeviceSpec) -> Quantity:
    """Rate of the matrix units by SMs, clock and architecture."""
    rate = machine(spec, "bf16").flop_per_s
    return Quantity(rate, 0.8 * rate, rate, "FLOP/s", "assumed", f"SMs, clock and architecture of {spec.name}")


def _idle(profile: DeviceProfile, spec: DeviceSpec) -> Quantity:
    """Power in which the GPU waits for the host."""
    known = profile.power("idle")
    if known:
        return of_value(known)
    watts = with_profile(machine(spec, "bf16"), profile, "bf16").static_w * _IDLE
    return Quantity(watts, 0.6 * watts, 1.5 * watts, "W", "assumed", "0.7 of the power at rest, a quarter of the cap")


def _memory(profile: DeviceProfile) -> Quantity:
    total = profile.numbers["memory_bytes"]
    return Quantity(total, total, total, "B", "measured" if "measured" in profile.note else "datasheet", profile.note)


_PCIE: Final = {3: 15.75e9, 4: 31.5e9, 5: 63.0e9, 6: 126.0e9}
"""Bytes a second in one direction of 16 lanes."""


def _links(profile: DeviceProfile, spec: DeviceSpec) -> dict[str, Quantity]:
    """The link between GPUs as stated and that to the host, measured where it was, bytes a second in one direction."""
    generation = int(spec.get("pcie_generation") or 4)
    pcie = _stated(_PCIE[generation], "B/s", f"PCIe generation {generation}, 16 lanes, one direction")
    nvlink = spec.get("nvlink_bytes_per_s")
    link = _stated(nvlink / 2, "B/s", f"NVLink of {spec.name}, half of both directions") if nvlink else pcie
    copies = profile.bandwidth("host", "h2d")
    return {"link": link, "host_link": of_value(copies) if copies else pcie}
