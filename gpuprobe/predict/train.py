"""Rebuilding every shipped model from its data: what is fitted, to what, by which recipe; deterministic to the bit."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from gpuprobe import device, resources
from gpuprobe.errors import GpuprobeError
from gpuprobe.files import write_atomically
from gpuprobe.predict import artefact, fitting_lasting, intervals, shipped, zero_shot
from gpuprobe.predict.alignment import Alignment, present
from gpuprobe.predict.boosting import Recipe
from gpuprobe.predict.dataset import Dataset, read_published, read_sweep
from gpuprobe.predict.domain import RANGED
from gpuprobe.predict.errors_of import summary
from gpuprobe.predict.features import OF_TABLES
from gpuprobe.predict.fitting import HeldOut, Kin, Say, cross_validate, fit
from gpuprobe.predict.fitting_lasting import FEWEST_ROWS, Judged, Settled
from gpuprobe.predict.head import Head
from gpuprobe.predict.machine import machine

FOLDS: Final = 5
OWN: Final = "gpuprobe"
_OWN_PROTOCOL: Final = "graph replay at boost clock, hot and cold; sustained and power analytic"
_LASTING_PROTOCOL: Final = "graph replay at boost clock, hot and cold; sustained, power and clock settled under load"
AIC: Final = "ai-dynamo+aiconfigurator"
VIDUR: Final = "microsoft+vidur"
_AIC_PROTOCOL: Final = (
    "aiconfigurator: graph over six weight tensors, warm L2 where they fit; cold and sustained analytic"
)
_VIDUR_PROTOCOL: Final = "vidur: kernel time of a torch trace in whole µs; cold, sustained and power analytic"


@dataclass(frozen=True)
class Published:
    """A published table of a GPU's GEMM times: its file below the reference folder, source, and second campaign."""

    device: str
    source: str
    dtype: str
    file: str
    repeat: str = ""

    @property
    def protocol(self) -> str:
        """What the source's time is."""
        return _AIC_PROTOCOL if self.source == "aiconfigurator" else _VIDUR_PROTOCOL


PUBLISHED: Final = (
    Published("a100-sxm-80gb", "aiconfigurator", "bf16", f"{AIC}/gemm_bf16_a100_sxm.csv"),
    Published(
        "h100-sxm", "aiconfigurator", "bf16", f"{AIC}/gemm_bf16_h100_sxm.csv", f"{AIC}/gemm_bf16_h100_sxm_repeat.csv"
    ),
    Published("h200-sxm", "aiconfigurator", "bf16", f"{AIC}/gemm_bf16_h200_sxm_power.csv"),
    Published("l40s", "aiconfigurator", "bf16", f"{AIC}/gemm_bf16_l40s.csv"),
    Published("a100-sxm-80gb", "vidur", "fp16", f"{VIDUR}/gemm_fp16_a100.csv"),
    Published("h100-sxm", "vidur", "fp16", f"{VIDUR}/gemm_fp16_h100.csv"),
)
SIBLINGS: Final = {"h100-sxm": "h200-sxm", "h200-sxm": "h100-sxm"}
"""GPUs of the same chip and power cap. They learn from each other's hot and cold rows, not of (n,k) pairs that they are
judged by; and one without sustained rows of its own takes the other's sustained model, marked."""
LICENCES: Final = {
    OWN: "Apache-2.0, measured by this project",
    "aiconfigurator": "fitted to data of ai-dynamo/aiconfigurator (commit 095f58a), Apache-2.0, © NVIDIA",
    "vidur": "fitted to data of microsoft/vidur (commit 7d47513), MIT, © Microsoft Corporation",
}
_OWN_RECIPE: Final = Recipe(trees=400, depth=7, step=0.1, rows=0.6)
_MANY_ROWS: Final = 3000
"""Rows of a class beyond which another GPU's rows gain nothing: bf16 at 8,000 rows errs no less with 9,000 more."""
_SMALL_RECIPE: Final = Recipe(trees=400, step=0.13, damping=1.5, bins=64)
_RAGGED_RECIPE: Final = Recipe(trees=400, step=0.08, damping=2.0, bins=64)
_VIDUR_RECIPE: Final = Recipe(
    trees=700, depth=8, step=0.1, damping=1.0, features=0.3, rows=0.3, sees=OF_TABLES
)  # fmt: skip
_PUBLISHED_RECIPES: Final = {
    "aiconfigurator": replace(_VIDUR_RECIPE, rows=0.6, clip=0.8, median=True),
    "vidur": _VIDUR_RECIPE,
}


class Class(NamedTuple):
    """GEMMs of one type and alignment: short runs, how to fit them, and sustained rows where there are any."""

    data: Dataset
    recipe: Recipe
    slow: Dataset | None = None
    kin: Kin | None = None


@dataclass(frozen=True)
class Job:
    """One artefact to fit: a device, a source, and the classes of GEMMs with their data and recipe."""

    device: str
    source: str
    protocol: str
    classes: tuple[Class, ...]


def jobs(devices: Sequence[str], reference: Path | None) -> Iterator[Job]:
    """What there is to fit for the devices named (none: all): own data sets, then published ones of ``reference``."""
    wanted = {device.load(name).name for name in devices}
    own = resources.folder("models") / "data"
    for folder in sorted(path for path in own.glob("*") if path.is_dir()):
        files = sorted(folder.glob("gemm_*.parquet"))
        if files and (not wanted or folder.name in wanted):
            kin = _kin_of(folder)
            classes = tuple(part for data, slow in read_sweep(files) for part in _classes(data, slow, kin))
            yield Job(folder.name, OWN, _OWN_PROTOCOL, classes)
    if reference is None:
        return
    for table in PUBLISHED:
        if not wanted or table.device in wanted:
            data = read_published(
                reference / table.file, table.dtype, reference / table.repeat if table.repeat else None
            )
            yield Job(table.device, table.source, table.protocol, (Class(data, _PUBLISHED_RECIPES[table.source]),))


def _kin_of(folder: Path) -> list[Kin]:
    """What another GPU of the chip timed, per type; nothing where there are no data of one."""
    name = SIBLINGS.get(folder.name, "")
    files = sorted((folder.parent / name).glob("gemm_*.parquet")) if name else []
    return [
        Kin(name, data, machine(device.load(name), data.dtype), slow)
        for data, slow in (read_sweep(files) if files else ())
    ]


def _classes(data: Dataset, slow: Dataset, kin: Sequence[Kin]) -> Iterator[Class]:
    """The alignment classes with enough rows for folds."""
    for found in present(data.alignment):
        mask = data.alignment == found
        if mask.sum() >= FEWEST_ROWS:
            aligned = _OWN_RECIPE if mask.sum() > _MANY_ROWS else _SMALL_RECIPE
            recipe = aligned if found == Alignment.ALIGNED else _RAGGED_RECIPE
            yield Class(
                data.where(mask), recipe, slow.where(slow.alignment == found), _kin_class(data.where(mask), found, kin)
            )


def _kin_class(data: Dataset, found: Alignment, kin: Sequence[Kin]) -> Kin | None:
    """What the other GPU timed of a class, where it is enough to fit its core."""
    for one in kin:
        theirs = one.data.where(one.data.alignment == found)
        if theirs.dtype == data.dtype and len(theirs) >= FEWEST_ROWS and theirs.targets.keys() == data.targets.keys():
            slow = one.slow.where(one.slow.alignment == found) if one.slow is not None else None
            return replace(one, data=theirs, slow=slow, short=len(data) <= _MANY_ROWS)
    return None


def train(job: Job, folder: Path, say: Say) -> tuple[str, Path]:
    """Fit one artefact, write it and its entry in the device's card below ``folder``; its model_id and path."""
    spec = device.load(job.device)
    heads: list[Head] = []
    judged: list[HeldOut] = []
    for data, recipe, slow, kin in job.classes:
        name = f"{job.device} {job.source} {data.dtype} {Alignment(int(data.alignment.max())).label}"

        def report(text: str, name: str = name) -> None:
            say(f"{name}: {text}")

        twin = twin_of(data, judged)
        head, held_out = fit(data, machine(spec, data.dtype), recipe, FOLDS, job.protocol, report, slow, twin, kin)
        heads.append(head)
        judged.append(held_out)
    settled = settle(judged)
    heads = [with_settled(head, found) for head, found in zip(heads, settled, strict=True)]
    if job.source == OWN and job.device in SIBLINGS and not any(settled):
        heads = _transferred(heads, SIBLINGS[job.device], folder)
    path = folder / job.device / shipped.file_name(job.source)
    model_id = artefact.write(path, job.device, job.source, heads)
    entries = list(map(_entry, job.classes, heads, judged, settled))
    _write_card(path.with_name("card.json"), job, model_id, heads[0].protocol, entries)
    return model_id, path


def _transferred(heads: Sequence[Head], sibling: str, folder: Path) -> list[Head]:
    """The heads with the sustained models of another GPU of the chip, out of domain; as they are where it has none."""
    places = [models / sibling / shipped.file_name(OWN) for models in (folder, resources.folder("models"))]
    path = next((path for path in places if path.is_file()), None)
    theirs = {(head.dtype, head.ragged): head for head in artefact.read(path).heads} if path is not None else {}
    return [zero_shot.lasting_of(head, theirs.get((head.dtype, head.ragged)), sibling) for head in heads]


def settle(judged: Sequence[HeldOut]) -> list[Settled | None]:
    """The sustained model of each class, None where it has no sustained rows or all of them together have too few."""
    own = [held_out.colds for held_out in judged if held_out.colds is not None]
    if sum(len(part.data) for part in own) < FEWEST_ROWS:
        return [None] * len(judged)
    kin = [held_out.kin_colds for held_out in judged if held_out.kin_colds is not None]
    found = iter(fitting_lasting.fit(own, kin))
    return [None if held_out.colds is None else next(found) for held_out in judged]


def with_settled(head: Head, settled: Settled | None) -> Head:
    """The head with its sustained model, if there is one."""
    if settled is None:
        return head
    return replace(head, machine=settled.machine, lasting=settled.lasting, protocol=_LASTING_PROTOCOL)


def judge(job: Job, say: Say) -> list[HeldOut]:
    """Every class of a job predicted by models that did not see its (n,k) pairs."""
    spec = device.load(job.device)
    judged: list[HeldOut] = []
    for data, recipe, slow, kin in job.classes:
        twin = twin_of(data, judged)
        judged.append(cross_validate(data, machine(spec, data.dtype), recipe, FOLDS, say, slow, twin, kin))
    return judged


def twin_of(data: Dataset, judged: Sequence[HeldOut]) -> HeldOut | None:
    """The model, among those already fitted, of a type with more rows that runs on the same kernels, same class."""
    for held_out in judged:
        theirs = held_out.data
        same = theirs.alignment.max() == data.alignment.max() and theirs.targets.keys() == data.targets.keys()
        if zero_shot.TWINS.get(data.dtype) == theirs.dtype and same and len(theirs) > 2 * len(data):
            return held_out
    return None


def _write_card(path: Path, job: Job, model_id: str, protocol: str, entries: Sequence[dict[str, Any]]) -> None:
    """The device's card with the entry of this source put in or replaced; other sources' entries stay."""
    card: dict[str, Any] = {"schema": 1, "device": job.device, "models": {}}
    if path.is_file():
        try:
            card = json.loads(path.read_text(encoding="utf-8"))
            card["models"][job.source] = {}
        except (ValueError, KeyError, TypeError) as error:
            raise GpuprobeError(f"{path} is no model card: {error}", f"delete {path} and train again") from error
    card["models"][job.source] = {
        "model_id": model_id,
        "file": shipped.file_name(job.source),
        "licence": LICENCES[job.source],
        "protocol": protocol,
        "judged": f"{FOLDS} folds of whole (n,k) pairs; absolute percentage errors as median / mean / 90th percentile",
        "classes": list(entries),
    }
    card["models"] = dict(sorted(card["models"].items()))
    write_atomically(path, (json.dumps(card, indent=2, ensure_ascii=False) + "\n").encode())


def _entry(part: Class, head: Head, held_out: HeldOut, settled: Settled | None) -> dict[str, Any]:
    data = held_out.data
    entry: dict[str, Any] = {
        "dtype": head.dtype, "ragged": int(head.ragged), "class": Alignment(head.ragged).label,
        "layouts": list(head.layouts), "rows": len(data), "unsure_rows": int((~part.data.fair).sum()),
        "domain": {name: [float(f"{np.exp(end):.4g}") for end in pair] for name, pair in _domain(head)}, "errors": {},
    }  # fmt: skip
    if part.kin is not None and part.kin.short and not held_out.twin:
        entry["learned_with"] = {"device": part.kin.device, "rows": len(part.kin.data)}
    judged: list[tuple[Mapping[str, Any], HeldOut | Judged]] = [(data.targets, held_out)]
    if settled is not None:
        entry["sustained_rows"] = len(settled.judged.data)
        if part.kin is not None and held_out.kin_colds is not None:
            entry["sustained_learned_with"] = {"device": part.kin.device, "rows": len(held_out.kin_colds.data)}
        judged.append((settled.judged.data.targets, settled.judged))
    for targets, found in judged:
        for index, target in enumerate(targets):
            errors = found.errors[:, index]
            inside, width = intervals.covered(errors, found.spreads[:, index], found.regimes, found.bands[index])
            entry["errors"][target] = {
                "ape_percent": [round(value, 2) for value in summary(errors)],
                "interval_coverage": round(inside, 3),
                "interval_median_width": round(width, 3),
            }
    if settled is not None:
        energy = settled.judged.errors[:, :2].sum(axis=1)
        entry["errors"]["energy"] = {"ape_percent": [round(value, 2) for value in summary(energy)]}
    return entry


def _domain(head: Head) -> list[tuple[str, tuple[float, float]]]:
    return [(name.removeprefix("log_"), pair) for name, pair in zip(RANGED, head.ranges, strict=True)]
