"""A GEMM whose configurations were all measured before: what ``tune`` finds where there is no GPU."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gpuprobe import device, resources
from gpuprobe.errors import GpuprobeError
from gpuprobe.ops.tiling import Tiling
from gpuprobe.tune import data
from gpuprobe.tune.gemm_search import Reading

SHIPPED: Final = "shipped"
"""Instead of a path: the GEMMs of models/data of the device, which no model is trained on."""
_NAMED: Final = 4


@dataclass(frozen=True)
class Recorded:
    """One GEMM of a journal: the product and software it was measured on, and a reading a configuration."""

    path: Path
    product: str
    driver: str
    triton: str
    readings: Mapping[Tiling, Reading]


def find(file: str, gpu: str | None) -> Path:
    """The journal meant by ``file``: a path, or SHIPPED for that of the device ``gpu``."""
    if file != SHIPPED:
        return Path(file)
    if gpu is None:
        raise GpuprobeError("--recorded without a file or a device", "add --gpu NAME, such as --gpu h100-sxm")
    found = sorted((resources.folder("models") / "data" / device.load(gpu).name).glob("held-out-*.jsonl.gz"))
    if not found:
        raise GpuprobeError(f"no recording of {gpu} is shipped", "name a file of: gpuprobe sweep kernel")
    return found[0]


def read(path: Path, m: int, n: int, k: int, dtype: str, form: str) -> Recorded:
    """The GEMM asked for in a journal of ``gpuprobe sweep kernel``; GpuprobeError where it is not there."""
    asked = {"m": m, "n": n, "k": k, "dtype": dtype, "form": form}
    gemms, sessions = data.records(path, "row"), data.records(path, "session")
    readings: dict[Tiling, Reading] = {}
    try:
        for gemm in gemms:
            if asked.items() <= gemm.items():
                readings |= dict(_reading(dict(zip(gemm["columns"], row, strict=True))) for row in gemm["rows"])
        held = [f"-m {g['m']} -n {g['n']} -k {g['k']} --dtype {g['dtype']} --kernel {g['form']}" for g in gemms]
        product, driver, triton = (str(sessions[0][name]) for name in ("device", "driver", "triton"))
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise GpuprobeError(
            f"{path} is no sweep of kernels: {error}", "make one with: gpuprobe sweep kernel"
        ) from error
    if not readings:
        more = f" and {len(held) - _NAMED} more" if len(held) > _NAMED else ""
        raise GpuprobeError(
            f"{path} holds no {form} of {m}×{n}×{k} {dtype}", f"it holds {'; '.join(held[:_NAMED])}{more}"
        )
    return Recorded(path, product, driver, triton, readings)


def _reading(row: Mapping[str, Any]) -> tuple[Tiling, Reading]:
    tiling = Tiling(*(int(row[name]) for name in Tiling._fields))
    return tiling, Reading(None, error=str(row["error"])) if row["error"] else Reading(float(row["time_us"]) * 1e-6)
