"""Checks gpuprobe's GEMM timer on a GPU: right results, fixed cost of a replay, cost a shape, repeatability.

Run from the checkout: PYTHONPATH=. python3 benchmarks/gemm_harness.py
"""

from __future__ import annotations

import time
from statistics import median

import torch

from gpuprobe.gpu.gemm_plan import Plan, plan
from gpuprobe.gpu.gemm_timer import UnsupportedGemmError
from gpuprobe.gpu.gemm_torch import REPLAYS, TorchGemmTimer
from gpuprobe.ops.gemm import DTYPES, Gemm, unsupported

TOLERANCE = {"bf16": 1e-2, "fp16": 2e-3, "tf32": 2e-3, "fp32": 1e-5, "fp8": 1e-2, "int8": 0.0}
SHAPES = [(64, 256, 512), (300, 768, 1040), (37, 1000, 777), (17, 4096, 4096), (1, 512, 2048), (2048, 2048, 2048)]


def check_results(timer: TorchGemmTimer) -> None:
    """Relative error against float64 for each type and layout; every element must be written."""
    for dtype in DTYPES:
        for layout in ("tn", "nn"):
            errors, refused = [], 0
            for m, n, k in SHAPES:
                gemm = Gemm(m, n, k, dtype, layout)
                if unsupported(gemm):
                    refused += 1
                    continue
                try:
                    errors.append(relative_error(timer, gemm))
                except RuntimeError as error:
                    print(f"  {gemm}: {str(error).splitlines()[0][:160]}")
            worst = max(errors, default=float("nan"))
            verdict = "ok" if worst <= TOLERANCE[dtype] else ("none run" if not errors else "WRONG")
            print(f"result {dtype:5s} {layout}: worst {worst:.1e} of {len(errors)}, {refused} unsupported: {verdict}")


def relative_error(timer: TorchGemmTimer, gemm: Gemm) -> float:
    """Norm of the error over norm of the reference, of the last of three rotated sets."""
    pools = timer._pools
    calls = pools.launches(gemm, 3)
    a, b, c = [cell.cell_contents for cell in calls[2].__closure__ if isinstance(cell.cell_contents, torch.Tensor)][:3]
    if gemm.dtype == "fp8":  # the closure of _scaled_mm also holds the scale
        tensors = dict(zip(calls[2].__code__.co_freevars, (x.cell_contents for x in calls[2].__closure__), strict=True))
        a, b, c = tensors["a"], tensors["b"], tensors["c"]
    c.fill_(99)
    calls[2]()
    torch.cuda.synchronize()
    reference = a.to(torch.float64) @ b.to(torch.float64)
    return float((c.to(torch.float64) - reference).norm() / reference.norm())


def fixed_cost(timer: TorchGemmTimer) -> None:
    """What a replay adds to its launches: time of L launches less L times the slope between L and 4L."""
    for m, n, k in [(16, 256, 256), (256, 1024, 1024), (1024, 4096, 4096), (4096, 4096, 4096)]:
        gemm = Gemm(m, n, k)
        estimate_s, host_s = timer._estimate(timer._pools.launches(gemm, 1)[0])
        count = plan("hot", estimate_s, host_s, timer._pools.set_bytes(gemm), timer._l2_bytes).launches
        totals = []
        for launches in (count, 4 * count):
            graph = timer._capture(timer._pools.launches(gemm, 1), launches)
            timing = timer._burst(graph, "hot", Plan(launches, 1), launches * estimate_s, False)
            totals.append(timing.time_s * launches)
        slope = (totals[1] - totals[0]) / (3 * count)
        print(
            f"fixed cost {m}x{n}x{k}: {count} launches, {totals[0] / count * 1e6:.2f} us each, "
            f"slope {slope * 1e6:.2f} us, fixed {(totals[0] - count * slope) * 1e6:.2f} us a replay; "
            f"eager {estimate_s * 1e6:.1f} us, host {host_s * 1e6:.1f} us"
        )


def cost_of_shapes(timer: TorchGemmTimer) -> None:
    """Where the time of one shape goes, and what its regimes say."""
    for dtype in DTYPES:
        for m, n, k in [
            (16, 256, 256),
            (64, 1024, 1024),
            (16, 4096, 4096),
            (512, 1024, 1024),
            (2048, 4096, 4096),
            (8192, 8192, 8192),
        ]:
            gemm = Gemm(m if dtype != "int8" else max(m, 32), n, k, dtype)
            if gemm.m == 8192 and dtype == "fp32":
                continue
            try:
                timer.time(gemm, ("hot",))
                begin = time.perf_counter()
                timings = timer.time(gemm, ("hot", "cold"))
                spent = time.perf_counter() - begin
            except UnsupportedGemmError as error:
                print(f"cost {dtype} {m}x{n}x{k}: {error}")
                continue
            text = ""
            for t in timings:
                spread = (max(t.samples_s) - min(t.samples_s)) / t.time_s * 100
                text += (
                    f" {t.regime} {t.time_s * 1e6:8.2f} us ({t.launches}x, {t.operand_sets} sets"
                    f"{', flush' if t.flushed else ''}, spread {spread:.1f} %, "
                    f"{(t.condition.sm_clock_hz or 0) / 1e6:.0f} MHz {t.condition.throttle})"
                )
            print(f"cost {dtype:5s} {gemm.m}x{n}x{k}: {spent * 1e3:5.1f} ms;{text}")


def repeatability(timer: TorchGemmTimer) -> None:
    """The same shapes timed three times over."""
    shapes = [Gemm(128 * i, 1024 + 512 * i, 4096) for i in range(1, 13)]
    times = [[tuple(t.time_s for t in timer.time(gemm, ("hot", "cold"))) for gemm in shapes] for _ in range(3)]
    for which, regime in enumerate(("hot", "cold")):
        spreads = [max(row) / min(row) - 1 for row in zip(*[[t[which] for t in one] for one in times], strict=True)]
        print(f"repeat {regime}: median {median(spreads) * 100:.2f} %, worst {max(spreads) * 100:.2f} % over 3")


def sustained(timer: TorchGemmTimer) -> None:
    """Sustained rows: a small, a memory-bound and a power-bound GEMM."""
    for gemm in (Gemm(16, 256, 256), Gemm(16, 8192, 8192), Gemm(8192, 8192, 8192), Gemm(8192, 8192, 8192, "int8")):
        begin = time.perf_counter()
        t = timer.time(gemm, ("sustained",))[0]
        c = t.condition
        print(
            f"sustained {gemm}: {t.time_s * 1e6:.1f} us, {t.launches}x{t.operand_sets}, "
            f"{c.power_w and round(c.power_w)} W, {(c.sm_clock_hz or 0) / 1e6:.0f} MHz, {c.temperature_c} C, "
            f"{c.throttle}; {time.perf_counter() - begin:.2f} s"
        )


def sensor_cost(timer: TorchGemmTimer) -> None:
    """How long one NVML poll takes."""
    begin = time.perf_counter()
    for _ in range(20):
        timer._nvml.read()
    print(f"one NVML poll {(time.perf_counter() - begin) / 20 * 1e3:.2f} ms; {REPLAYS} replays")
    begin = time.perf_counter()
    for _ in range(50):
        _ = timer._nvml.energy_j
    print(f"one energy poll {(time.perf_counter() - begin) / 50 * 1e3:.2f} ms")


def main() -> None:
    """Everything in turn."""
    begin = time.perf_counter()
    timer = TorchGemmTimer()
    print(dict(timer.facts))
    timer.warm_up(1.0)
    print(f"ready in {time.perf_counter() - begin:.1f} s")
    for check in (sensor_cost, check_results, fixed_cost, cost_of_shapes, repeatability, sustained):
        begin = time.perf_counter()
        check(timer)
        print(f"-- {check.__name__}: {time.perf_counter() - begin:.1f} s", flush=True)
    timer.close()


if __name__ == "__main__":
    main()
