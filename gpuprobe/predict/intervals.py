"""90 % intervals by split conformal prediction: quantiles of held-out errors, scaled by a learned local spread.

The quantiles are taken per regime (what bounds the GEMM), since a launch-bound time is known far better than one that
hangs on the library's choice of kernel.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gpuprobe.predict.core import BOUNDS

Array = NDArray[np.float64]

COVERAGE: Final = 0.9
SMALLEST_SPREAD: Final = 0.004  # of a log time: two timings of one GEMM already differ by as much
_MANY_ROWS: Final = 10_000
_FEWEST_ROWS: Final = 100
_FEWEST_OF_FEW: Final = 200
"""Rows of a regime for a band of its own; of a data set below _MANY_ROWS more, for its band would hold too many."""


def spread_target(errors: Array) -> Array:
    """What the spread outputs of a forest learn from held-out log errors: the log of their size."""
    return np.log(np.abs(errors) + SMALLEST_SPREAD)


def bands(errors: Array, spreads: Array, regimes: NDArray[np.int64]) -> list[list[float]]:
    """(low, high) quantiles of error / spread per regime of BOUNDS; of all rows where a regime has few.

    ``errors`` are log(measured / predicted) of rows not trained on; each end leaves out half of the uncovered share.
    """
    ratios = errors / spreads
    pooled = ends(ratios)
    members = [ratios[regimes == index] for index in range(len(BOUNDS))]
    fewest = _FEWEST_ROWS if len(ratios) >= _MANY_ROWS else _FEWEST_OF_FEW
    return [ends(group) if len(group) >= fewest else pooled for group in members]


def ends(ratios: Array) -> list[float]:
    """The quantiles of a sample that leave out half of the uncovered share each; 0 always lies between them."""
    outside = (1 - COVERAGE) / 2
    rank = np.ceil((1 - outside) * (len(ratios) + 1)) / len(ratios) if len(ratios) else 1.0
    level = min(float(rank), 1.0)
    return [min(0.0, float(np.quantile(ratios, 1 - level))), max(0.0, float(np.quantile(ratios, level)))]


def checked(document: Any, targets: int) -> list[list[list[float]]]:
    """Bands per target, regime and end as an artefact states them; ValueError where they are no bands."""
    table = np.array(document, np.float64)
    if table.shape != (targets, len(BOUNDS), 2) or not np.isfinite(table).all():
        raise ValueError("the intervals are damaged")
    if (table[:, :, 0] > 0).any() or (table[:, :, 1] < 0).any():
        raise ValueError("an interval does not hold its own value")
    result: list[list[list[float]]] = table.tolist()
    return result


def covered(
    errors: Array, spreads: Array, regimes: NDArray[np.int64], band: Mapping[int, Any] | Any
) -> tuple[float, float]:
    """Share of rows inside their interval, and the median full width relative to the prediction."""
    ends = np.array(band)[regimes]
    low, high = ends[:, 0] * spreads, ends[:, 1] * spreads
    inside = (errors >= low) & (errors <= high)
    return float(inside.mean()), float(np.median(np.exp(high) - np.exp(low)))
