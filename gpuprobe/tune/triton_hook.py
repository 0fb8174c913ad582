"""Hooks for ``triton.autotune``: measure the few configurations that are predicted best. Needs no triton itself.

::

    pruner = TritonPruner("h100-sxm")
    @triton.autotune(configs, key=["M", "N", "K"], prune_configs_by={"early_config_prune": pruner.early_config_prune})

or, one configuration at a time, ``prune_configs_by={"perf_model": pruner.perf_model, "top_k": 5}``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, TypeVar

from gpuprobe.errors import GpuprobeError
from gpuprobe.ops.tiling import FORMS, Tiling
from gpuprobe.tune.data import work_of
from gpuprobe.tune.predictor import KernelPredictor
from gpuprobe.tune.tiled import is_valid

Config = TypeVar("Config")

_DTYPES: Final = {
    "torch.bfloat16": "bf16", "torch.float16": "fp16", "torch.float8_e4m3fn": "fp8", "torch.float8_e5m2": "fp8",
}  # fmt: skip


@dataclass(frozen=True)
class TritonPruner:
    """Chooses among the configurations of a Triton GEMM kernel on ``gpu``.

    ``sizes`` and ``blocks`` are the kernel's own names of m, n, k and of BM, BN, BK, GM (three where there
    is no GM); ``operand`` is the argument whose type the multiplication has. ``keep`` is how many are measured.
    """

    gpu: str
    kernel: str = FORMS[0]
    keep: int = 5
    sizes: tuple[str, str, str] = ("M", "N", "K")
    blocks: tuple[str, ...] = ("BLOCK_M", "BLOCK_N", "BLOCK_K", "GROUP_M")
    operand: str = "a_ptr"

    @cached_property
    def _predictor(self) -> KernelPredictor:
        return KernelPredictor.load(self.gpu, self.kernel)

    def perf_model(self, **arguments: Any) -> float:
        """Predicted time in s of one configuration, infinite where it cannot be launched."""
        tiling = self._tiling(arguments, arguments["num_warps"], arguments["num_stages"])
        work = work_of(*self._sizes(arguments), self._dtype(arguments), self.kernel, [tiling])
        if not is_valid(work)[0]:
            return float("inf")
        return float(self._predictor.work_times(work, self._dtype(arguments)).time_s[0])

    def early_config_prune(
        self, configs: Sequence[Config], named_args: Mapping[str, Any], **options: Any
    ) -> list[Config]:
        """The ``keep`` configurations predicted best, in that order; the first where none can be launched."""
        known = {**named_args, **options}
        tilings = [
            self._tiling({**known, **_of(one, "kwargs")}, _of(one, "num_warps"), _of(one, "num_stages"))
            for one in configs
        ]
        order = self._predictor.rank(*self._sizes(known), tilings, self._dtype(known))
        return [configs[index] for index in order[: self.keep]] or list(configs[:1])

    def _sizes(self, arguments: Mapping[str, Any]) -> tuple[int, int, int]:
        m, n, k = (int(_named(arguments, name, "sizes")) for name in self.sizes)
        return m, n, k

    def _tiling(self, arguments: Mapping[str, Any], warps: int, stages: int) -> Tiling:
        blocks = [int(_named(arguments, name, "blocks")) for name in self.blocks]
        bm, bn, bk, gm = (*blocks, 1)[:4]
        return Tiling(bm, bn, bk, gm, int(warps), max(int(stages), 1))

    def _dtype(self, arguments: Mapping[str, Any]) -> str:
        operand = _named(arguments, self.operand, "operand")
        name = str(getattr(operand, "dtype", getattr(getattr(operand, "base", None), "dtype", "")))
        if name not in _DTYPES:
            raise GpuprobeError(f"no tiled kernel takes operands of type '{name}'", f"known: {', '.join(_DTYPES)}")
        return _DTYPES[name]


def _named(arguments: Mapping[str, Any], name: str, setting: str) -> Any:
    if name not in arguments:
        raise GpuprobeError(
            f"the kernel has no argument '{name}'",
            f"name it with TritonPruner({setting}=…); it has: {', '.join(arguments)}",
        )
    return arguments[name]


def _of(config: object, name: str) -> Any:
    """An attribute of a ``triton.Config``, which is not imported here."""
    return getattr(config, name)
