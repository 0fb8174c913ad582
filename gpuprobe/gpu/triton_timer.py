"""Times configurations of tiled GEMM kernels in Triton: compiled by worker processes, then replayed as CUDA graphs."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

from gpuprobe.errors import Exit, GpuprobeError
from gpuprobe.gpu.nvml import driver_versions
from gpuprobe.ops.tiling import FORMS, Tiling

REPLAYS: Final = 5
REPLAY_S: Final = 0.4e-3
MOST_LAUNCHES: Final = 24
HOPELESS: Final = 6.0
"""A configuration this many times slower than the best so far is timed by one launch alone."""
_ALIGNED = 4096  # what Triton specialises on: divisible by 16


@dataclass(frozen=True)
class Problem:
    """A GEMM of a tiled kernel: its form (``FORMS``), sizes and type."""

    form: str
    m: int
    n: int
    k: int
    dtype: str


@dataclass(frozen=True)
class Timed:
    """One configuration: s per GEMM, samples, registers a thread, shared bytes and spills; or why there is no time."""

    tiling: Tiling
    time_s: float = 0.0
    samples_s: tuple[float, ...] = ()
    registers: int = 0
    shared_bytes: int = 0
    spills: int = 0
    error: str = ""


def _libraries() -> tuple[Any, Any]:
    try:
        import torch
        import triton
    except ImportError as error:
        raise GpuprobeError(
            f"tiled kernels are timed through torch and triton: {error}", "pip install torch", Exit.MACHINE_LACKS
        ) from error
    return torch, triton


def compile_all(problems: Sequence[Problem], tilings: Mapping[tuple[str, str], Sequence[Tiling]], jobs: int) -> int:
    """Fill Triton's cache in ``jobs`` processes with every tiling of the forms and types that problems have.

    Gives the number compiled; what does not compile is found again, with its reason, when it is timed.
    """
    wanted = sorted({
        (problem.form, problem.dtype, tiling)
        for problem in problems
        for tiling in tilings[problem.form, problem.dtype]
    })  # fmt: skip
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        return sum(pool.imap_unordered(_compile, wanted, chunksize=4))


def _compile(job: tuple[str, str, Tiling]) -> int:
    form, dtype, tiling = job
    _, triton = _libraries()
    bench = Bench()
    try:
        bench.operands(Problem(form, _ALIGNED, _ALIGNED, _ALIGNED, dtype)).compile(tiling)
    except (triton.CompilationError, triton.runtime.errors.OutOfResources, RuntimeError):
        return 0
    return 1


class Bench:
    """Holds operands and times tilings on the current CUDA device."""

    def __init__(self) -> None:
        self._torch, self._triton = _libraries()
        self._sms = int(self._properties.multi_processor_count)

    @property
    def _properties(self) -> Any:
        return self._torch.cuda.get_device_properties(self._torch.cuda.current_device())

    def operands(self, problem: Problem) -> Operands:
        """Operands of one GEMM, standard normal."""
        return Operands(self._torch, self._triton, problem, self._sms)

    def time(self, problem: Problem, tilings: Sequence[Tiling]) -> Iterator[Timed]:
        """One Timed a configuration, in order; the operands are made once."""
        operands = self.operands(problem)
        return (operands.time(tiling) for tiling in tilings)

    @property
    def facts(self) -> dict[str, object]:
        """What is measured on: device, driver, libraries, protocol."""
        driver, _ = driver_versions()
        properties = self._properties
        return {
            "device": properties.name, "sm_count": self._sms, "driver": driver, "torch": self._torch.__version__,
            "cuda": self._torch.version.cuda, "triton": self._triton.__version__,
            "protocol": {
                "regime": "hot", "replays": REPLAYS, "replay_s": REPLAY_S, "most_launches": MOST_LAUNCHES,
                "hopeless": HOPELESS, "operands": "standard normal",
            },
        }  # fmt: skip


class Operands:
    """The operands of one GEMM and what is measured on them."""

    def __init__(self, torch: Any, triton: Any, problem: Problem, sms: int) -> None:
        from gpuprobe.gpu import triton_kernels

        if problem.form not in FORMS:
            raise GpuprobeError(f"unknown kernel '{problem.form}'", f"use one of: {', '.join(FORMS)}")
        self._torch, self._triton, self._problem, self._sms = torch, triton, problem, sms
        self._kernels = triton_kernels
        types = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp8": torch.float8_e4m3fn}
        out = types["bf16"] if problem.dtype == "fp8" else types[problem.dtype]
        kept = types[problem.dtype]
        self._a = torch.randn((problem.m, problem.k), device="cuda", dtype=torch.bfloat16).to(kept)
        # by pointers B is k×n row-major, as in the tutorial; fp8 and TMA take it n×k, as tensor cores want it
        by_columns = problem.form == "triton-persistent" or problem.dtype == "fp8"
        shape = (problem.n, problem.k) if by_columns else (problem.k, problem.n)
        self._b = torch.randn(shape, device="cuda", dtype=torch.bfloat16).to(kept)
        self._b_view = self._b.T if by_columns else self._b
        self._c = torch.empty((problem.m, problem.n), device="cuda", dtype=out)
        self._events = [torch.cuda.Event(enable_timing=True) for _ in range(2)]
        self._best_s = float("inf")

    def compile(self, tiling: Tiling) -> Any:
        """Compile without running."""
        kernel, grid, arguments, options = self._call(tiling)
        return kernel.warmup(*arguments, grid=grid, **options)

    def _call(self, t: Tiling) -> tuple[Any, Any, tuple[Any, ...], dict[str, int]]:
        p, cdiv = self._problem, self._triton.cdiv
        tiles = cdiv(p.m, t.bm) * cdiv(p.n, t.bn)
        options = {
            "BLOCK_M": t.bm, "BLOCK_N": t.bn, "BLOCK_K": t.bk, "GROUP_M": t.gm,
            "num_warps": t.warps, "num_stages": t.stages,
        }  # fmt: skip
        if p.form == "triton-persistent":
            from triton.tools.tensor_descriptor import TensorDescriptor

            descriptors = (
                TensorDescriptor.from_tensor(self._a, [t.bm, t.bk]),
                TensorDescriptor.from_tensor(self._b, [t.bn, t.bk]),
                TensorDescriptor.from_tensor(self._c, [t.bm, t.bn]),
            )
            arguments = (*descriptors, p.m, p.n, p.k)
            return self._kernels.persistent, (min(self._sms, tiles),), arguments, {"SMS": self._sms, **options}
        a, b, c = self._a, self._b_view, self._c
        arguments = (a, b, c, p.m, p.n, p.k, *a.stride(), *b.stride(), *c.stride())
        return self._kernels.matmul, (tiles,), arguments, options

    def time(self, tiling: Tiling) -> Timed:
        """Time of one configuration: graph of back-to-back launches on one operand set, median of REPLAYS replays."""
        kernel, grid, arguments, options = self._call(tiling)

        def launch() -> Any:
            return kernel[grid](*arguments, **options)

        try:
            built = launch()
            self._torch.cuda.synchronize()
        except (self._triton.CompilationError, self._triton.runtime.errors.OutOfResources, RuntimeError) as error:
            return Timed(tiling, error=str(error).strip().split("\n")[0][:160] or type(error).__name__)
        samples = self._samples(launch)
        self._best_s = min(self._best_s, median(samples))
        return Timed(
            tiling, median(samples), samples, int(built.n_regs), int(built.metadata.shared), int(built.n_spills)
        )

    def result(self, tiling: Tiling) -> Any:
        """C as the configuration computes it (a torch tensor)."""
        kernel, grid, arguments, options = self._call(tiling)
        kernel[grid](*arguments, **options)
        return self._c.float()

    def reference(self) -> Any:
        """C in FP32 by torch."""
        return self._a.float() @ self._b_view.float()

    def _samples(self, launch: Callable[[], Any]) -> tuple[float, ...]:
        alone_s = self._elapsed_s(launch)
        if alone_s > HOPELESS * self._best_s:
            alone_s = min(alone_s, self._elapsed_s(launch))  # the host may have been late once
            if alone_s > HOPELESS * self._best_s and alone_s > REPLAY_S:
                return (alone_s,)
        count = max(1, min(MOST_LAUNCHES, round(REPLAY_S / alone_s)))
        if alone_s > REPLAY_S:
            return tuple(self._elapsed_s(launch) for _ in range(REPLAYS))
        torch = self._torch
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            for _ in range(count):
                launch()
        graph.replay()
        times = tuple(self._elapsed_s(graph.replay) / count for _ in range(REPLAYS))
        if times[0] * count < REPLAY_S / 4 and count < MOST_LAUNCHES:  # alone, the host's launch was most of it
            with torch.cuda.graph(graph := torch.cuda.CUDAGraph()):
                for _ in range(MOST_LAUNCHES):
                    launch()
            graph.replay()
            times = tuple(self._elapsed_s(graph.replay) / MOST_LAUNCHES for _ in range(REPLAYS))
        return times

    def _elapsed_s(self, work: Callable[[], Any]) -> float:
        begin, end = self._events
        begin.record()
        work()
        end.record()
        end.synchronize()
        return max(float(begin.elapsed_time(end)) * 1e-3, 1e-7)
