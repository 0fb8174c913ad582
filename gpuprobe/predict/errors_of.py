"""Absolute percentage errors of log errors."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def absolute_percentage(log_errors: NDArray[np.float64]) -> NDArray[np.float64]:
    """100·|predicted / measured - 1| from log(measured / predicted)."""
    result: NDArray[np.float64] = 100 * np.abs(np.exp(-log_errors) - 1)
    return result


def summary(log_errors: NDArray[np.float64]) -> tuple[float, float, float]:
    """Median, mean and 90th percentile of the absolute percentage error."""
    errors = absolute_percentage(log_errors)
    return float(np.median(errors)), float(errors.mean()), float(np.quantile(errors, 0.9))
