"""The GPU at hand, through CuPy: loads cubins, holds buffers, times jobs. No compiler is used here."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gpuprobe import device as catalogue
from gpuprobe.errors import Exit, GpuprobeError
from gpuprobe.estimate import Point
from gpuprobe.gpu import launches
from gpuprobe.gpu.monitor import Monitor
from gpuprobe.gpu.nvml import Nvml
from gpuprobe.gpu.protocol import Job, Outcome, OutOfMemory
from gpuprobe.gpu.surroundings import environment_of
from gpuprobe.record import DeviceSpec, Environment, Number, Sample, Source

RECORD_WORDS = 5
PREPARE_BLOCK = 256
POISON = 0xA5
STATIC_SHARED_LIMIT = 48 << 10
MAX_DYNAMIC_SHARED = 8  # CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES


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
    sets: dict[tuple[str, int], Any]


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
        self._stream = self._cupy.cuda.Stream(non_blocking=True)
        self._events = (self._cupy.cuda.Event(), self._cupy.cuda.Event())

    def __enter__(self) -> RealGpu:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop polling NVML and give back the device's memory."""
        self._monitor.close()
        self._working = _Working("", {})
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
            self._cupy.cuda.driver.funcSetAttribute(function.ptr, MAX_DYNAMIC_SHARED, job.point.shared_bytes)
        return function

    def _data(self, job: Job, out: Any) -> Any:
        """The working set of ``job``, prepared; sets of another probe are given back first."""
        if self._working.probe != job.probe:
            self._working = _Working(job.probe, {})
            self._cupy.get_default_memory_pool().free_all_blocks()
        key = (job.kernel if job.prepare else "", job.point.data_bytes)  # a kernel never meets what another one wrote
        if key not in self._working.sets:
            data = self._cupy.cuda.alloc(max(job.point.data_bytes, 256))
            self._working.sets[key] = data
            if job.prepare:
                grid = int(self.device["sm_count"]) * 8
                arguments = self._arguments(out, out, data, job)
                self._function(job, job.prepare)((grid,), (PREPARE_BLOCK,), arguments)
        return self._working.sets[key]

    @staticmethod
    def _arguments(records: Any, out: Any, data: Any, job: Job) -> tuple[Any, ...]:
        point = job.point
        return (records, out, data, np.uint64(point.data_bytes), np.uint64(point.iters), np.uint32(job.seed))

    def _timed(self, job: Job) -> tuple[Sample, bytes]:
        cupy, point = self._cupy, job.point
        records = cupy.zeros((point.grid, RECORD_WORDS), dtype=cupy.uint64)
        out = cupy.empty(job.out_words, dtype=cupy.uint32)
        data = self._data(job, out)
        out.data.memset_async(POISON, out.nbytes, self._stream)
        function = self._function(job, job.entry)
        arguments = self._arguments(records, out, data, job)
        begin, end = self._events
        begin.record(self._stream)
        function((point.grid,), (point.block,), arguments, shared_mem=point.shared_bytes)
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

    def _launches(self, job: Job) -> Sample:
        """Many launches of an empty kernel behind one that holds the stream, so that the host cannot be the limit."""
        kernels = launches.Kernels.of({name: self._function(job, name) for name in ("nothing", "hold", "stamp")})
        out = self._cupy.zeros(4, dtype=self._cupy.uint64)
        timing = launches.time_launches_again(self._stream, kernels, out, _count(job.point), job.method)
        values = {"api_s": timing.api_s, "call_s": timing.call_s}
        return self._with_state(Sample(0.0, 0.0, timing.drain_s, 0.0, 0.0, values=values))


def _count(point: Point) -> int:
    return int(point.number("LAUNCHES"))
