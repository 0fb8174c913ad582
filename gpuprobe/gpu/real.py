"""The GPU at hand, through CuPy: loads cubins, holds buffers, times jobs. No compiler is used here."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gpuprobe import device as catalogue
from gpuprobe.energy.counter import block_values
from gpuprobe.errors import Exit, GpuprobeError
from gpuprobe.estimate import Place, Point
from gpuprobe.gpu import driver, energy_block, host_copies, launches
from gpuprobe.gpu.monitor import Monitor
from gpuprobe.gpu.nvml import Nvml, is_throttled
from gpuprobe.gpu.protocol import Job, Outcome, OutOfMemory
from gpuprobe.gpu.surroundings import environment_of
from gpuprobe.record import DeviceSpec, Environment, Number, Sample, Source

RECORD_WORDS = 5
PREPARE_BLOCK = 256
POISON = 0xA5
COUNTER_PERIOD_S = 0.012
"""The energy counter takes 2.5 ms to answer (the power fields 8 us), so it is asked less often beside them."""
STATIC_SHARED_LIMIT = 48 << 10


def cupy_module() -> Any:
    """CuPy, or a GpuprobeError with the install command for the driver at hand."""
    try:
        import cupy
    except ImportError as error:
        raise GpuprobeError(
            "CuPy is not installed, and live measurement needs it",
            "pip install 'gpuprobe[cuda13]' (driver 580 or newer) or 'gpuprobe[cuda12]'",
            Exit.MACHINE_LACKS,
        ) from error
    return cupy


@dataclass
class _Working:
    """The working sets of the probe that is being measured, prepared once each."""

    probe: str
    sets: dict[tuple[str, int, Place], Any]


class RealGpu:
    """One CUDA device. A context manager; GpuprobeError (exit 3) where there is none, or where MIG splits it."""

    source: Source = "live"

    def __init__(self, index: int = 0) -> None:
        self._cupy = cupy_module()
        runtime = self._cupy.cuda.runtime
        try:
            count = runtime.getDeviceCount()
            if index >= count:
                raise GpuprobeError(
                    f"there is no GPU {index}: {count} found", "list them with: nvidia-smi -L", Exit.MACHINE_LACKS
                )
            self._properties = runtime.getDeviceProperties(index)
            self._bus_id = runtime.deviceGetPCIBusId(index)
        except runtime.CUDARuntimeError as error:
            raise GpuprobeError(
                f"no usable GPU: {error}", "see what is missing with: gpuprobe doctor", Exit.MACHINE_LACKS
            ) from error
        self._nvml = Nvml(self._bus_id)
        if self._nvml.mig:
            raise GpuprobeError(
                "MIG splits this GPU: rates and capacities would be those of a slice",
                "turn it off with: sudo nvidia-smi -mig 0; or name another GPU with --device",
                Exit.MACHINE_LACKS,
            )
        self._others = self._nvml.other_processes()  # before this process has a context of its own
        self._cupy.cuda.Device(index).use()
        self.device = self._describe()
        self._environment = environment_of(self._nvml, self._others)
        self._monitor = Monitor(self._nvml)
        self._start = time.perf_counter()
        self._modules: dict[str, Any] = {}
        self._working = _Working("", {})
        self._copies: host_copies.HostCopies | None = None
        self._stream = self._cupy.cuda.Stream(non_blocking=True)
        self._events = (self._cupy.cuda.Event(), self._cupy.cuda.Event())

    def __enter__(self) -> RealGpu:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop polling NVML and give back the device's memory."""
        self._monitor.close()
        self._working, self._copies = _Working("", {}), None
        self._cupy.get_default_memory_pool().free_all_blocks()
        self._nvml.close()

    def environment(self) -> Environment:
        """Versions, limits and other users of the GPU, as found at the start."""
        return self._environment

    def _describe(self) -> DeviceSpec:
        """The catalogue's entry for this product, with what the driver says in place of the datasheet's numbers."""
        properties = self._properties
        product = properties["name"].decode()
        known = catalogue.match(product, memory_bytes=float(properties["totalGlobalMem"]))
        architecture = f"sm_{properties['major']}{properties['minor']}"
        numbers: dict[str, float | None] = {
            "sm_count": properties["multiProcessorCount"],
            "memory_bytes": properties["totalGlobalMem"],
            "l2_bytes": properties["l2CacheSize"],
            "memory_bus_bits": properties["memoryBusWidth"],
            "max_sm_clock_hz": self._nvml.max_sm_clock_hz,
            "max_memory_clock_hz": self._nvml.max_mem_clock_hz,
        }
        read = {key: Number(float(value), "driver", "CUDA runtime, NVML") for key, value in numbers.items() if value}
        if known is None:
            return DeviceSpec(product.lower().replace(" ", "-"), product, architecture, "unknown", read, (product,))
        return known.with_numbers(read)

    def run(self, job: Job) -> Outcome:
        """Execute a job once; GpuprobeError where the kernel cannot be loaded or fails."""
        cupy = self._cupy
        try:
            with self._stream:
                if job.method == "kernel":
                    sample, out = self._timed(job)
                elif job.method == "energy":
                    sample, out = self._steady(job)
                elif job.method == "sensor":
                    sample, out = self._watched(job), b""
                elif job.method == "marks":
                    sample, out = self._marks(job), b""
                elif job.method == "copy":
                    sample, out = self._copy(job), b""
                else:
                    sample, out = self._launches(job), b""
        except (cupy.cuda.driver.CUDADriverError, cupy.cuda.runtime.CUDARuntimeError) as error:
            raise GpuprobeError(
                f"{job.probe} failed on the GPU: {error}", "report it with: gpuprobe doctor --json", Exit.CHECK_FAILED
            ) from error
        except cupy.cuda.memory.OutOfMemoryError as error:
            raise OutOfMemory(
                f"{job.probe} needs {job.point.data_bytes / 2**30:.1f} GiB of GPU memory: {error}",
                "free the GPU (nvidia-smi shows who uses it)",
                Exit.MACHINE_LACKS,
            ) from error
        return Outcome(sample, out)

    def _function(self, job: Job, entry: str) -> Any:
        if job.kernel not in self._modules:
            module = self._cupy.cuda.function.Module()
            module.load(job.cubin)
            self._modules[job.kernel] = module
        function = self._modules[job.kernel].get_function(entry)
        if entry == job.entry and job.point.shared_bytes > STATIC_SHARED_LIMIT:
            self._cupy.cuda.driver.funcSetAttribute(function.ptr, driver.MAX_DYNAMIC_SHARED, job.point.shared_bytes)
        if entry == job.entry and job.point.cluster > driver.PORTABLE_CLUSTER_LIMIT:
            self._cupy.cuda.driver.funcSetAttribute(function.ptr, driver.NON_PORTABLE_CLUSTER, 1)
        if entry == job.entry and job.point.carveout >= 0:
            self._cupy.cuda.driver.funcSetAttribute(function.ptr, driver.SHARED_CARVEOUT, job.point.carveout)
        return function

    def _data(self, job: Job, out: Any) -> Any:
        """The working set of ``job``, prepared; sets of another probe are given back first."""
        if self._working.probe != job.probe:
            self._working = _Working(job.probe, {})
            self._cupy.get_default_memory_pool().free_all_blocks()
            self._cupy.get_default_pinned_memory_pool().free_all_blocks()
        point = job.point
        owner = job.kernel if job.prepare else ""  # a kernel never meets what another one wrote
        key = (owner, point.data_bytes, point.place)
        if key not in self._working.sets:
            data = self._allocate(point)
            self._working.sets[key] = data
            if job.prepare:
                grid = int(self.device["sm_count"]) * 8
                arguments = self._arguments(out, out, data, job)
                self._function(job, job.prepare)((grid,), (PREPARE_BLOCK,), arguments)
        data = self._working.sets[key]
        if point.place == "managed away":
            self._stream.synchronize()
            _bring_home(data.ptr, point.data_bytes)
        return data

    def _allocate(self, point: Point) -> Any:
        """The working set of ``point``, where it wants it."""
        cuda = self._cupy.cuda
        allocators = {"device": cuda.alloc, "host": cuda.alloc_pinned_memory}
        return allocators.get(point.place, cuda.malloc_managed)(max(point.data_bytes, 256))

    @staticmethod
    def _arguments(records: Any, out: Any, data: Any, job: Job) -> tuple[Any, ...]:
        point = job.point
        sizes = (np.uint64(point.data_bytes), np.uint64(point.iters), np.uint32(job.seed))
        return (records, out, np.uint64(data.ptr), *sizes)

    def _launcher(self, function: Any, arguments: tuple[Any, ...], point: Point) -> Callable[[], None]:
        """What starts a kernel; with clusters or all blocks at once by the driver's own call (CuPy has none)."""
        if point.cluster == 0 and not point.cooperative:
            return lambda: function((point.grid,), (point.block,), arguments, shared_mem=point.shared_bytes)
        records, out, *numbers = arguments
        places = [ctypes.c_uint64(records.data.ptr), ctypes.c_uint64(out.data.ptr)]
        rest = [np.ctypeslib.as_ctypes_type(number.dtype)(int(number)) for number in numbers]
        shape = (point.grid, point.block, point.shared_bytes)
        launch = driver.prepared(
            function.ptr,
            self._stream.ptr,
            shape,
            [*places, *rest],
            cluster=point.cluster,
            cooperative=point.cooperative,
        )
        return lambda: driver.start(launch)

    def _describe_tensor(self, point: Point, data: Any) -> None:
        """Write the head of the working set: the descriptor that TMA reads."""
        if point.tensor_map is not None:
            head = driver.encode(point.tensor_map, data.ptr)
            data.copy_from_host_async(head.ctypes.data, head.nbytes, self._stream)

    def _ready(self, job: Job) -> tuple[Any, Any, Callable[[], None]]:
        """Records, out (poisoned) and what launches the job's kernel once."""
        cupy, point = self._cupy, job.point
        records = cupy.zeros((point.grid, RECORD_WORDS), dtype=cupy.uint64)
        out = cupy.empty(job.out_words, dtype=cupy.uint32)
        data = self._data(job, out)
        self._describe_tensor(point, data)
        out.data.memset_async(POISON, out.nbytes, self._stream)
        function = self._function(job, job.entry)
        arguments = self._arguments(records, out, data, job)
        return records, out, self._launcher(function, arguments, point)

    def _timed(self, job: Job) -> tuple[Sample, bytes]:
        cupy = self._cupy
        records, out, launch = self._ready(job)
        begin, end = self._events
        begin.record(self._stream)
        launch()
        end.record(self._stream)
        end.synchronize()
        event_s = cupy.cuda.get_elapsed_time(begin, end) * 1e-3
        return self._sample(cupy.asnumpy(records), event_s), cupy.asnumpy(out).tobytes()

    def _sample(self, records: Any, event_s: float) -> Sample:
        rows = records[records[:, 3] != 0].astype(np.int64)  # blocks that keep no record leave zeros
        cycles = rows[:, 1] - rows[:, 0]
        block_ns = rows[:, 3] - rows[:, 2]
        return self._with_state(
            Sample(
                cycles=float(np.median(cycles)),
                cycles_max=float(cycles.max()),
                seconds=float(rows[:, 3].max() - rows[:, 2].min()) * 1e-9,
                event_s=event_s,
                sm_clock_hz=float(np.median(cycles / np.maximum(block_ns, 1))) * 1e9,
                sm=float(rows[0, 4]),
            )
        )

    def _with_state(self, sample: Sample) -> Sample:
        """``sample`` with clock, power, temperature and throttle reasons as NVML last gave them."""
        reading = self._monitor.latest()
        return replace(
            sample,
            power_w=reading.power_w or 0.0,
            temperature_c=reading.temperature_c or 0.0,
            nvml_sm_clock_hz=reading.sm_clock_hz or 0.0,
            throttle=float(reading.throttle or 0),
            at_s=time.perf_counter() - self._start,
        )

    def _steady(self, job: Job) -> tuple[Sample, bytes]:
        """Launches back to back over ten updates of the energy counter; the GPU rests where a job has no passes."""
        records, out, launch = self._ready(job)

        def queue() -> Any:
            launch()
            event = self._cupy.cuda.Event()
            event.record(self._stream)
            return event

        block = energy_block.run_block(queue if job.point.iters else None, lambda: self._nvml.energy_j)
        self._stream.synchronize()
        columns = block_values(block.polls, block.settled_s)
        power_w = columns["energy_j"] / columns["span_s"] if columns["span_s"] else 0.0
        if not job.point.iters:
            rest = self._with_state(Sample(0.0, 0.0, columns["span_s"], 0.0, 0.0, values=columns))
            return replace(rest, sm_clock_hz=rest.nvml_sm_clock_hz, power_w=power_w), b""
        events, first = block.events, min(block.settled_launches, len(block.events) - 2)
        settled_s = self._cupy.cuda.get_elapsed_time(events[first], events[-1]) * 1e-3
        columns["launches_per_s"] = (len(events) - 1 - first) / settled_s
        sample = self._sample(self._cupy.asnumpy(records), event_s=0.0)  # launches overlap: no events stand around one
        columns["throttled"] = float(is_throttled(int(sample.throttle)))
        return replace(sample, power_w=power_w, values=columns), self._cupy.asnumpy(out).tobytes()

    def _watched(self, job: Job) -> Sample:
        """The power sensors while a load is switched on and off at times that the seed decides."""
        point = job.point
        records, out, _ = self._ready(job)
        function = self._function(job, job.entry)
        start_j, read_at_s = self._nvml.energy_j or 0.0, 0.0

        def burn(seconds: float) -> None:
            numbers = (np.uint64(0), np.uint64(0), np.uint64(seconds * 1e9), np.uint32(job.seed))
            function((point.grid,), (point.block,), (records, out, *numbers))

        def read() -> dict[str, float | None]:
            nonlocal read_at_s
            instant_w, average_w = self._nvml.powers_w
            readings = {"instant": instant_w, "average": average_w}
            if time.perf_counter() - read_at_s > COUNTER_PERIOD_S:
                energy_j, read_at_s = self._nvml.energy_j, time.perf_counter()
                readings["counter"] = None if energy_j is None else energy_j - start_j
            time.sleep(energy_block.POLL_S)
            return readings

        columns = energy_block.watch_sensors(burn, read, job.seed)
        self._stream.synchronize()
        sample = Sample(0.0, 0.0, columns["watched_s"], 0.0, 0.0, values=columns)
        return self._with_state(sample)

    def _launches(self, job: Job) -> Sample:
        """Many launches of an empty kernel behind one that holds the stream, so that the host cannot be the limit."""
        kernels = launches.Kernels.of({name: self._function(job, name) for name in ("nothing", "hold", "stamp")})
        out = self._cupy.zeros(4, dtype=self._cupy.uint64)
        timing = launches.time_launches_again(self._stream, kernels, out, _count(job.point), _way(job))
        values = {"api_s": timing.api_s, "call_s": timing.call_s}
        return self._with_state(Sample(0.0, 0.0, timing.drain_s, 0.0, 0.0, values=values))

    def _marks(self, job: Job) -> Sample:
        """Launches on an idle stream of a kernel that marks host memory when it starts and when it ends."""
        flags, counter = self._cupy.cuda.alloc_pinned_memory(256), self._cupy.zeros(1, dtype=self._cupy.uint64)
        kernel = self._function(job, job.entry)
        values = launches.time_marks(self._stream, kernel, _way(job), flags, counter)
        return self._with_state(Sample(0.0, 0.0, values["done_s"], 0.0, 0.0, values=values))

    def _copy(self, job: Job) -> Sample:
        """One copy between host and device."""
        point = job.point
        direction, memory = str(point["DIRECTION"]), str(point["MEMORY"])
        if self._copies is None:
            self._copies = host_copies.HostCopies(self._cupy)
        seconds = self._copies.seconds(direction, memory, point.data_bytes, job.seed)
        return self._with_state(Sample(0.0, 0.0, seconds, 0.0, 0.0, values=host_copies.nodes(self._bus_id)))


def _count(point: Point) -> int:
    return int(point.number("LAUNCHES"))


def _way(job: Job) -> launches.Way:
    """How a job's kernels are launched: its KIND axis, or what its method says."""
    point, kind = job.point, dict(job.point.params).get("KIND", job.method)
    return launches.Way(str(kind), point.grid, point.block, point.cluster)


def _bring_home(address: int, size: int) -> None:
    """Touch every page of managed memory from the host, which moves it there."""
    np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(address))[::4096].sum()
