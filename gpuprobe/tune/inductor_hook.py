"""A filter for TorchInductor's max-autotune: of the Triton kernels it would time for a matmul, the few predicted best.

::

    from torch._inductor import select_algorithm
    select_algorithm.add_preprocessing_fn(InductorPruner("h100-sxm"))

Written against torch 2.11 and 2.13. Library kernels (ATen, CUTLASS), batched products and the unknown stay.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, Final, NamedTuple

from gpuprobe.ops.tiling import FORMS, Tiling
from gpuprobe.tune.predictor import KernelPredictor

_TEMPLATE: Final = re.compile(r"triton_(?:mm|addmm)(_persistent_tma)?_\d+$")
_SHAPE: Final = re.compile(r"\((\d+), (\d+), (\d+)\)$")  # BLOCK_M, BLOCK_K, BLOCK_N, as the template logs them
_DTYPES: Final = {"torch.bfloat16": "bf16", "torch.float16": "fp16", "torch.float8_e4m3fn": "fp8"}


class _Gemm(NamedTuple):
    form: str
    m: int
    n: int
    k: int
    dtype: str


@dataclass(frozen=True)
class InductorPruner:
    """A preprocessing function: ``keep`` Triton kernels of each form and GEMM, and all other choices, in order."""

    gpu: str
    keep: int = 5

    @cached_property
    def _predictors(self) -> dict[str, KernelPredictor]:
        return {form: KernelPredictor.load(self.gpu, form) for form in FORMS}

    def __call__(self, choices: Sequence[Any]) -> list[Any]:
        """The choices worth timing."""
        gemms: dict[_Gemm, list[tuple[int, Tiling]]] = defaultdict(list)
        for index, choice in enumerate(choices):
            known = _known(choice)
            if known is not None:
                gemms[known[0]].append((index, known[1]))
        dropped = {index for gemm, found in gemms.items() for index in self._dropped(gemm, found)}
        return [choice for index, choice in enumerate(choices) if index not in dropped]

    def _dropped(self, gemm: _Gemm, found: Sequence[tuple[int, Tiling]]) -> set[int]:
        """Places of the configurations of one GEMM that are not worth timing; never all of them."""
        order = self._predictors[gemm.form].rank(
            gemm.m, gemm.n, gemm.k, [tiling for _, tiling in found], gemm.dtype
        ) or [0]
        kept = {found[place][0] for place in order[: self.keep]}
        return {index for index, _ in found} - kept


def _known(choice: Any) -> tuple[_Gemm, Tiling] | None:
    """The GEMM and tiling of a choice, None where it is no Triton matmul with sizes and type that the model knows."""
    name = _TEMPLATE.match(str(choice.name))
    logged = getattr(choice, "log_info", {})
    shape = _SHAPE.match(str(logged.get("tile_shape", "")))
    sizes = _sizes(choice)
    if name is None or shape is None or sizes is None:
        return None
    bm, bk, bn = map(int, shape.groups())
    tiling = Tiling(
        bm, bn, bk, max(int(logged["GROUP_M"]), 1), int(logged["num_warps"]), max(int(logged["num_stages"]), 1)
    )
    return _Gemm(FORMS[1] if name.group(1) else FORMS[0], *sizes), tiling


def _sizes(choice: Any) -> tuple[int, int, int, str] | None:
    """m, n, k and type of the two inputs that are multiplied: neighbours whose sizes fit the output."""
    out = _whole(choice.layout.size)
    nodes = [(_whole(node.get_size()), str(node.get_dtype())) for node in choice.input_nodes]
    for (a, dtype), (b, other) in pairwise(nodes):
        if out is None or a is None or b is None or not len(out) == len(a) == len(b) == 2:
            continue
        if (a[0], b[1]) == tuple(out) and a[1] == b[0] and dtype == other and dtype in _DTYPES:
            return a[0], b[1], a[1], _DTYPES[dtype]
    return None


def _whole(size: Sequence[Any]) -> list[int] | None:
    """Sizes as numbers, None where one is a symbol."""
    try:
        return [int(one) for one in size]
    except TypeError:
        return None
