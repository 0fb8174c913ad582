"""GEMMs timed through torch: CUDA graphs of back-to-back launches, replayed between events. The only user of torch."""

from __future__ import annotations

import itertools
import json
import math
import platform
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any, Final

from gpuprobe.errors import Exit, GpuprobeError
from gpuprobe.gpu.gemm_plan import BURST, COLD_L2_MULTIPLE, SUSTAINED, Plan, plan
from gpuprobe.gpu.gemm_pools import INT8_STEPS_PER_UNIT, Pools
from gpuprobe.gpu.gemm_timer import KernelLaunch, Timing, UnsupportedGemmError
from gpuprobe.gpu.nvml import Nvml, driver_versions
from gpuprobe.gpu.sensor_log import SensorLog
from gpuprobe.ops.gemm import Gemm
from gpuprobe.ops.gemm_kernel import without_parameters

REPLAYS: Final = 9
BURST_S: Final = 40e-3
"""Most work in s between two rests, so that the power cap does not settle (design, GEMM regimes)."""
SUSTAINED_S: Final = 1.25
_HUNGRY_INTENSITY = 150.0  # FLOP/byte above which a GEMM is taken to draw near the power limit
_REST = 1.5  # rest after hungry work, as a multiple of that work
_LONG_S, _TRIAL_LAUNCHES, _HOST_S = 250e-6, 12, 40e-6
_PROFILE_BATCH = 1000
_LARGEST_POOL_BYTES = 4 << 30


def _import_torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise GpuprobeError(
            "PyTorch is not installed; sweeps time GEMMs through it", "pip install torch", Exit.MACHINE_LACKS
        ) from error
    if not torch.cuda.is_available():
        raise GpuprobeError(
            "PyTorch sees no CUDA GPU", "check nvidia-smi and that torch is a CUDA build", Exit.MACHINE_LACKS
        )
    return torch


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


@contextmanager
def _quiet() -> Iterator[None]:
    """Without torch's warnings about profiling in cycles, which is not done here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


class TorchGemmTimer:
    """A GemmTimer on one CUDA device (CUDA's index)."""

    def __init__(self, index: int = 0) -> None:
        torch = self._torch = _import_torch()
        if index >= torch.cuda.device_count():
            raise GpuprobeError(f"CUDA shows no GPU {index}", "list them with: nvidia-smi -L", Exit.MACHINE_LACKS)
        torch.cuda.set_device(index)
        self._stream = torch.cuda.Stream()
        torch.cuda.set_stream(self._stream)
        properties = torch.cuda.get_device_properties(index)
        self._l2_bytes = int(properties.L2_cache_size)
        self.sm_count = int(properties.multi_processor_count)
        self.largest_bytes = min(_LARGEST_POOL_BYTES, int(properties.total_memory) // 16)
        self._nvml = Nvml(f"GPU-{properties.uuid}")
        self.facts = self._facts(properties)
        self._pools = Pools(torch, self.largest_bytes, self._l2_bytes)
        self._evict = torch.zeros((COLD_L2_MULTIPLE * self._l2_bytes // 4096, 1024), device="cuda")
        self._evicted = torch.empty(self._evict.shape[0], device="cuda")
        self._marker = torch.zeros(1, device="cuda")
        self._events = [torch.cuda.Event(enable_timing=True) for _ in range(2 * REPLAYS)]
        self._graph_pool = torch.cuda.graph_pool_handle()
        self._keeper = self._capture([self._marker.neg_], 1)  # keeps the graphs' memory pool alive between captures
        self._sensors = SensorLog(self._nvml)
        self._sensors.start()

    def _facts(self, properties: Any) -> Mapping[str, object]:
        driver, cuda_driver = driver_versions()
        return {
            "device": properties.name,
            "sm_count": self.sm_count,
            "l2_bytes": self._l2_bytes,
            "memory_bytes": int(properties.total_memory),
            "compute_capability": f"{properties.major}.{properties.minor}",
            "power_limit_w": self._nvml.enforced_power_limit_w,
            "max_sm_clock_hz": self._nvml.max_sm_clock_hz,
            "driver": driver,
            "cuda_driver": cuda_driver,
            "torch": self._torch.__version__,
            "cuda": self._torch.version.cuda,
            "cublas": _version("nvidia-cublas") or _version("nvidia-cublas-cu12"),
            "python": platform.python_version(),
            "protocol": {
                "replays": REPLAYS,
                "replay_s": BURST.replay_s,
                "most_launches": BURST.most_launches,
                "burst_s": BURST_S,
                "cold_l2_multiple": COLD_L2_MULTIPLE,
                "sustained_s": SUSTAINED_S,
                "sustained_replay_s": SUSTAINED.replay_s,
                "operands": f"standard normal; int8 in steps of 1/{INT8_STEPS_PER_UNIT}",
            },
        }

    def warm_up(self, seconds: float) -> None:
        """Multiply 4096³ bf16 for about ``seconds``, then rest until the power cap has let go."""
        launch = self._pools.launches(Gemm(4096, 4096, 4096), 1)[0]
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            for _ in range(32):
                launch()
            self._stream.synchronize()
        time.sleep(seconds / 2)

    def time(self, gemm: Gemm, regimes: Iterable[str]) -> list[Timing]:
        """One Timing per regime, in the order given; UnsupportedGemmError where the library refuses."""
        self._must_fit(gemm)
        launch = self._pools.launches(gemm, 1)[0]
        gemm_s, host_s = self._estimate(launch)
        return [self._time(gemm, regime, gemm_s, host_s) for regime in regimes]

    def _must_fit(self, gemm: Gemm) -> None:
        if max(gemm.operand_bytes, gemm.output_bytes) > self.largest_bytes:
            raise UnsupportedGemmError(f"larger than the operand pool of {self.largest_bytes / 2**30:.1f} GiB")

    def _estimate(self, launch: Callable[[], Any]) -> tuple[float, float]:
        """Rough time of one GEMM on the GPU and of its launch on the host, in s; the first launch loads the kernel.

        A launch from the host alone takes longer than many a kernel, so a short one is timed again in a small graph.
        """
        try:
            launch()
            self._stream.synchronize()
        except RuntimeError as error:
            raise self._refusal(error) from error
        alone_s = min(self._elapsed_s(launch) for _ in range(2))
        if alone_s > _LONG_S:
            return alone_s, _HOST_S
        begin_s = time.perf_counter()
        graph = self._capture([launch], _TRIAL_LAUNCHES)
        host_s = (time.perf_counter() - begin_s) / _TRIAL_LAUNCHES
        trial_s = min(self._elapsed_s(graph.replay) for _ in range(3))
        graph.reset()
        return trial_s / _TRIAL_LAUNCHES, host_s

    def _elapsed_s(self, work: Callable[[], Any]) -> float:
        begin, end = self._events[:2]
        begin.record()
        work()
        end.record()
        end.synchronize()
        return max(1e-6, float(begin.elapsed_time(end)) * 1e-3)

    def _refusal(self, error: RuntimeError) -> Exception:
        reason = str(error).strip().split("\n")[0][:200]
        if "CUDA error" in reason and "CUBLAS_STATUS" not in reason:
            return GpuprobeError(f"the GPU failed: {reason}", "see: sudo dmesg | grep -i xid", Exit.CHECK_FAILED)
        return UnsupportedGemmError(reason)

    def _time(self, gemm: Gemm, regime: str, gemm_s: float, host_s: float) -> Timing:
        """One regime; timed again where the estimate was so far off that replays were too short for the host."""
        set_bytes = self._pools.set_bytes(gemm)
        planned = plan(regime, gemm_s, host_s, set_bytes, self._l2_bytes)
        timing = self._carry_out(gemm, regime, planned, gemm_s)
        fastest_s = min(timing.samples_s)
        again = plan(regime, fastest_s, host_s, set_bytes, self._l2_bytes)
        if regime == "sustained" or again.launches <= 2 * planned.launches:
            return timing
        return self._carry_out(gemm, regime, again, fastest_s)

    def _carry_out(self, gemm: Gemm, regime: str, planned: Plan, gemm_s: float) -> Timing:
        graph = self._capture(self._pools.launches(gemm, planned.operand_sets), planned.launches)
        try:
            if regime == "sustained":
                return self._sustain(graph, planned)
            replay_s = planned.launches * gemm_s
            rests = gemm.intensity > _HUNGRY_INTENSITY or replay_s > 2 * BURST.replay_s
            return self._burst(graph, regime, planned, replay_s, rests)
        finally:
            graph.reset()

    def _capture(self, calls: Sequence[Callable[[], Any]], launches: int) -> Any:
        # Not torch.cuda.graph(): that collects garbage and empties the allocator's cache at every capture.
        graph = self._torch.cuda.CUDAGraph()
        graph.capture_begin(pool=self._graph_pool, capture_error_mode="thread_local")
        for index in range(launches):
            calls[index % len(calls)]()
        graph.capture_end()
        return graph

    def _burst(self, graph: Any, regime: str, planned: Plan, replay_s: float, rests: bool) -> Timing:
        per_burst = max(1, int(BURST_S / replay_s) - 1)
        begin_s = time.perf_counter()
        for first in range(0, REPLAYS, per_burst):
            self._replays(graph, range(first, min(REPLAYS, first + per_burst)), planned.flush)
            self._stream.synchronize()
            if rests:
                time.sleep(_REST * min(per_burst, REPLAYS) * replay_s)
        end_s = time.perf_counter()
        pairs = zip(self._events[::2], self._events[1::2], strict=True)
        samples = tuple(begin.elapsed_time(end) * 1e-3 / planned.launches for begin, end in pairs)
        condition = self._sensors.condition(begin_s, end_s)
        return Timing(
            regime, median(samples), samples, planned.launches, planned.operand_sets, planned.flush, condition
        )

    def _replays(self, graph: Any, indices: range, flush: bool) -> None:
        """One replay to warm up, then one between each pair of events; the host stays ahead of the GPU."""
        graph.replay()
        for index in indices:
            if flush:
                self._torch.sum(self._evict, dim=1, out=self._evicted)
            self._events[2 * index].record()
            graph.replay()
            self._events[2 * index + 1].record()

    def _sustain(self, graph: Any, planned: Plan) -> Timing:
        """Replay for SUSTAINED_S; time, clock and power are those of the second half."""
        events: list[Any] = []
        done_s: list[float] = []
        self._sensors.start_energy()
        begin_s = time.perf_counter()
        while time.perf_counter() - begin_s < SUSTAINED_S:
            graph.replay()
            event = self._torch.cuda.Event(enable_timing=True)
            event.record()
            events.append(event)
            if len(events) >= 3:
                events[len(done_s)].synchronize()
                done_s.append(time.perf_counter())
        self._stream.synchronize()
        self._sensors.stop_energy()
        half_s = begin_s + (done_s[-1] - begin_s) / 2
        first = next(index for index, moment in enumerate(done_s) if moment >= half_s)
        second_half = events[first:]
        pairs = itertools.pairwise(second_half)
        samples = tuple(begin.elapsed_time(end) * 1e-3 / planned.launches for begin, end in pairs)
        condition = self._sensors.condition(done_s[first], done_s[-1])
        power_w = self._sensors.power_w(done_s[first], done_s[-1])
        condition = type(condition)(condition.sm_clock_hz, power_w, condition.temperature_c, condition.throttle)
        return Timing(
            "sustained",
            math.fsum(samples) / len(samples),
            samples,
            planned.launches,
            planned.operand_sets,
            condition=condition,
        )

    def kernels(self, gemms: Sequence[Gemm]) -> list[list[KernelLaunch]]:
        """The kernels of one launch of each GEMM, in order; an empty list where they could not be told."""
        named: list[list[KernelLaunch]] = []
        for begin in range(0, len(gemms), _PROFILE_BATCH):
            named += self._kernels(gemms[begin : begin + _PROFILE_BATCH])
        return named

    def _kernels(self, gemms: Sequence[Gemm]) -> list[list[KernelLaunch]]:
        profiler = self._torch.profiler
        with _quiet(), profiler.profile(activities=[profiler.ProfilerActivity.CUDA]) as profile:
            self._marker.neg_()
            for gemm in gemms:
                self._pools.launches(gemm, 1)[0]()
                self._marker.neg_()
            self._stream.synchronize()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "trace.json"
            profile.export_chrome_trace(str(path))
            events = json.loads(path.read_bytes())["traceEvents"]
        return between_markers(events, len(gemms))

    def close(self) -> None:
        """Stop polling and free the pools."""
        self._sensors.close()
        self._nvml.close()
        self._torch.cuda.set_stream(self._torch.cuda.default_stream())


def between_markers(events: Sequence[Mapping[str, Any]], count: int) -> list[list[KernelLaunch]]:
    """Kernels and memsets between one ``neg`` marker and the next, in time order; all empty where a marker is lost."""
    work = sorted((event for event in events if event.get("cat") in ("kernel", "gpu_memset")), key=lambda e: e["ts"])
    groups: list[list[KernelLaunch]] = []
    for event in work:
        if "neg_kernel" in event["name"]:
            groups.append([])
        elif groups:
            groups[-1].append(_launch(event))
    if len(groups) != count + 1:
        return [[] for _ in range(count)]
    return groups[:-1]


def _launch(event: Mapping[str, Any]) -> KernelLaunch:
    details = event.get("args", {})
    return KernelLaunch(
        name=without_parameters(event["name"]) if event["cat"] == "kernel" else event["name"],
        grid=tuple(details.get("grid", ())),
        block=tuple(details.get("block", ())),
        registers=int(details.get("registers per thread", 0)),
        shared_bytes=int(details.get("shared memory", 0)),
        time_s=float(event["dur"]) * 1e-6,
    )
