"""The hooks of triton.autotune in the real autotuner, where triton is installed; no GPU: pruning launches nothing."""

from __future__ import annotations

from typing import Any

import pytest

from gpuprobe.ops.tiling import sample
from gpuprobe.tune import rank
from gpuprobe.tune.triton_hook import TritonPruner

triton = pytest.importorskip("triton")

TILINGS = sample(40, "bf16", 9)


class Tensor:
    """What a tensor is to a pruner."""

    dtype = "torch.bfloat16"


def kernel(a_ptr: Any, M: int, N: int, K: int, BLOCK_M: int, BLOCK_N: int, BLOCK_K: int, GROUP_M: int) -> None:  # noqa: N803
    """A kernel by its arguments alone."""


def autotuner(prune_configs_by: dict[str, Any]) -> Any:
    """Triton's own Autotuner over TILINGS, as it stands when the kernel is first launched."""
    configs = [
        triton.Config(
            {"BLOCK_M": t.bm, "BLOCK_N": t.bn, "BLOCK_K": t.bk, "GROUP_M": t.gm}, num_warps=t.warps, num_stages=t.stages
        )
        for t in TILINGS
    ]
    tuner = triton.autotune(
        configs, key=["M", "N", "K"], prune_configs_by=prune_configs_by, do_bench=lambda *_, **__: 1.0
    )(triton.jit(kernel))
    tuner.nargs = {"a_ptr": Tensor(), "M": 4096, "N": 4096, "K": 4096}
    return tuner


def tilings_of(configs: list[Any]) -> list[tuple[int, ...]]:
    return [(*config.kwargs.values(), config.num_warps, config.num_stages) for config in configs]


def test_early_config_prune_leaves_the_best() -> None:
    pruner = TritonPruner("h100-sxm", keep=5)
    kept = autotuner({"early_config_prune": pruner.early_config_prune}).prune_configs({})
    best = rank("h100-sxm", 4096, 4096, 4096, TILINGS)[:5]
    assert tilings_of(kept) == [tuple(TILINGS[index]) for index in best]


@pytest.mark.parametrize("top_k", [5, 0.125])
def test_perf_model_and_top_k_leave_the_same(top_k: float) -> None:
    pruner = TritonPruner("h100-sxm")
    kept = autotuner({"perf_model": pruner.perf_model, "top_k": top_k}).prune_configs({})
    best = rank("h100-sxm", 4096, 4096, 4096, TILINGS)[:5]
    assert tilings_of(kept) == [tuple(TILINGS[index]) for index in best]
