"""A GemmTimer without a GPU: times follow from the shape, and a clock that they move on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from gpuprobe.gpu.gemm_timer import Condition, KernelLaunch, Timing, UnsupportedGemmError
from gpuprobe.ops.gemm import Gemm

NAME = "nvjet_tst_128x64_64x8_2x1_v_bz_coopA_TNT"


class FakeTimer:
    """Every GEMM takes 10 ms of wall time per regime; ``refuse`` are those the library rejects."""

    def __init__(self, refuse: Iterable[Gemm] = (), device: str = "fake") -> None:
        self.now = 0.0
        self.asked: list[tuple[Gemm, tuple[str, ...]]] = []
        self.named: list[Gemm] = []
        self.refuse = set(refuse)
        self.facts: Mapping[str, object] = {"device": device, "protocol": {"replays": 9}}
        self.largest_bytes = 1 << 30
        self.sm_count = 132

    def clock(self) -> float:
        return self.now

    def warm_up(self, seconds: float) -> None:
        self.now += seconds

    def time(self, gemm: Gemm, regimes: Iterable[str]) -> list[Timing]:
        regimes = tuple(regimes)
        self.asked.append((gemm, regimes))
        if gemm in self.refuse:
            raise UnsupportedGemmError("CUBLAS_STATUS_NOT_SUPPORTED")
        self.now += 0.01 * len(regimes)
        base = gemm.flop * 1e-15 + 2e-6
        samples = tuple(base * (1 + 0.001 * index) for index in range(9))
        condition = Condition(1.98e9, 300.0, 40.0, 4)
        return [Timing(regime, samples[4], samples, 10, 3, condition=condition) for regime in regimes]

    def kernels(self, gemms: Sequence[Gemm]) -> list[list[KernelLaunch]]:
        self.named += gemms
        return [
            [
                KernelLaunch("Memset (Device)"),
                KernelLaunch(NAME, (132, 1, 1), (384, 1, 1), 168, 200_000, 5e-6),
                KernelLaunch("void cublasLt::splitKreduce_kernel<32, 16>(x)", (8, 1, 1), (512, 1, 1), 32, 0, 1e-6),
            ]
            for _ in gemms
        ]

    def close(self) -> None:
        self.now += 0
