"""Clock, power and heat of the GPU while something runs on it in another process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from gpuprobe.gpu.nvml import Nvml, throttle_names
from gpuprobe.gpu.sensor_log import SensorLog
from gpuprobe.kernel_eval.condition import Condition


@contextmanager
def watch(uuid: str) -> Iterator[Condition]:
    """Poll the GPU with this UUID; an empty one (no GPU) gives empty conditions."""
    if not uuid:
        yield lambda _begin_s, _end_s: {}
        return
    with Nvml(uuid) as nvml:
        log = SensorLog(nvml)
        log.start()
        try:
            yield lambda begin_s, end_s: _read(log, begin_s, end_s)
        finally:
            log.close()


def _read(log: SensorLog, begin_s: float, end_s: float) -> dict[str, Any]:
    read = asdict(log.condition(begin_s, end_s))
    return {**read, "throttled_by": list(throttle_names(read["throttle"] or 0))}
