"""The filter for TorchInductor: fake choices as torch 2.13 makes them, and the real slot where torch is installed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from gpuprobe.ops.tiling import Tiling, sample
from gpuprobe.tune import rank
from gpuprobe.tune.inductor_hook import InductorPruner


class Symbol:
    """A size that is not known: int() of a sympy symbol is a TypeError."""

    def __int__(self) -> int:
        raise TypeError("Cannot convert symbols to int")


@dataclass
class Node:
    """An input as a choice holds it."""

    size: Sequence[Any]
    dtype: str = "torch.bfloat16"

    def get_size(self) -> Sequence[Any]:
        return self.size

    def get_dtype(self) -> str:
        return self.dtype


@dataclass
class Layout:
    """Where the output goes."""

    size: Sequence[Any]


@dataclass
class Choice:
    """What torch's ChoiceCaller is to a filter."""

    name: str
    layout: Layout
    input_nodes: list[Node]
    log_info: dict[str, Any] = field(default_factory=dict)


def choice(index: int, t: Tiling, sizes: tuple[Any, Any, Any] = (4096, 4096, 4096), name: str = "triton_mm") -> Choice:
    m, n, k = sizes
    logged = {
        "tile_shape": str((t.bm, t.bk, t.bn)), "GROUP_M": t.gm, "num_warps": t.warps, "num_stages": t.stages,
    }  # fmt: skip
    return Choice(f"{name}_{index}", Layout([m, n]), [Node([m, k]), Node([k, n])], logged)


def test_the_triton_choices_predicted_best_stay_and_libraries_always_do() -> None:
    tilings = sample(40, "bf16", 3)
    aten = Choice("mm", Layout([4096, 4096]), [Node([4096, 4096]), Node([4096, 4096])])
    triton = [choice(index, tiling) for index, tiling in enumerate(tilings)]
    kept = InductorPruner("h100-sxm", keep=4)([aten, *triton])
    best = sorted(rank("h100-sxm", 4096, 4096, 4096, tilings)[:4])
    assert kept == [aten, *(triton[index] for index in best)]


def test_each_form_keeps_its_own() -> None:
    tilings = sample(20, "bf16", 3)
    pointers = [choice(index, tiling) for index, tiling in enumerate(tilings)]
    tma = [choice(index, tiling, name="triton_mm_persistent_tma") for index, tiling in enumerate(tilings)]
    kept = InductorPruner("h100-sxm", keep=3)([*pointers, *tma])
    assert [one.name.startswith("triton_mm_persistent") for one in kept] == [False] * 3 + [True] * 3


def test_a_bias_before_the_operands_does_not_confuse() -> None:
    tilings = sample(20, "bf16", 3)
    choices = [choice(index, tiling, (512, 4096, 1024)) for index, tiling in enumerate(tilings)]
    for one in choices:
        one.input_nodes.insert(0, Node([512, 4096]))
    kept = InductorPruner("h100-sxm", keep=3)(choices)
    assert kept == [choices[index] for index in sorted(rank("h100-sxm", 512, 4096, 1024, tilings)[:3])]


@pytest.mark.parametrize("strange", ["symbol", "fp32", "bmm", "unlogged"])
def test_what_is_not_understood_stays(strange: str) -> None:
    tilings = sample(12, "bf16", 3)
    sizes = (Symbol(), 4096, 4096) if strange == "symbol" else (4096, 4096, 4096)
    name = "triton_bmm" if strange == "bmm" else "triton_mm"
    choices = [choice(index, tiling, sizes, name) for index, tiling in enumerate(tilings)]
    for one in choices:
        if strange == "fp32":
            one.input_nodes = [Node(node.size, "torch.float32") for node in one.input_nodes]
        if strange == "unlogged":
            one.log_info = {}
    assert InductorPruner("h100-sxm", keep=2)(choices) == choices


def test_one_stays_where_none_can_be_launched() -> None:
    huge = [choice(index, Tiling(256, 256, 128, 8, 8, 5)) for index in range(3)]
    assert InductorPruner("h100-sxm")(huge) == huge[:1]


def test_torch_takes_it_as_a_preprocessing_function() -> None:
    """Choices of torch's own classes; no GPU is asked for."""
    torch = pytest.importorskip("torch")
    from torch._inductor import ir, select_algorithm

    def layout(*size: int) -> Any:
        return ir.FixedLayout(torch.device("cuda"), torch.bfloat16, list(size))

    tilings = sample(40, "bf16", 3)
    inputs = [ir.InputBuffer(name=name, layout=layout(4096, 4096)) for name in "ab"]
    choices = [
        select_algorithm.TritonTemplateCaller(
            fake.name, inputs, layout(4096, 4096), None, "",
            SimpleNamespace(num_stages=tiling.stages, num_warps=tiling.warps), log_info=fake.log_info,
        )
        for tiling in tilings
        for fake in [choice(tilings.index(tiling), tiling)]
    ]  # fmt: skip
    pruner = InductorPruner("h100-sxm", keep=4)
    assert pruner(choices) == [choices[index] for index in sorted(rank("h100-sxm", 4096, 4096, 4096, tilings)[:4])]
    select_algorithm.add_preprocessing_fn(pruner)
    try:
        assert select_algorithm.get_algorithm_selector_cache().preprocessing_fns[-1] is pruner
    finally:
        select_algorithm.clear_preprocessing_fns()
