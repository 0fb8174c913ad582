"""Active learning: of several GEMMs, the one whose time a predictor is least sure of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from gpuprobe.ops.gemm import Gemm
from gpuprobe.predict import Predictor

_REGIMES: Final = ("hot_us", "cold_us")
_OUTSIDE: Final = 2.0
"""Outside its training range a predictor's interval is a guess too: it counts as so many times as wide."""


class Doubt:
    """How unsure a predictor is of GEMMs; ``model`` names it."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor

    def model(self, dtype: str, layout: str) -> str:
        """Id of the model that answers for aligned GEMMs of a type and layout."""
        return self._predictor.model(dtype, layout, False).model_id

    def least_sure(self, gemms: Sequence[Gemm]) -> int:
        """Index of the GEMM (all of one type and layout) with the widest 90 % interval, as a ratio, hot or cold."""
        sizes = [(gemm.m, gemm.n, gemm.k) for gemm in gemms]
        found = self._predictor.gemm_many(sizes, gemms[0].dtype, gemms[0].layout)
        widths = [np.log(found[f"{regime}_high"] / found[f"{regime}_low"]) for regime in _REGIMES]
        return int(np.argmax(np.maximum(*widths) * np.where(found["in_domain"], 1.0, _OUTSIDE)))
