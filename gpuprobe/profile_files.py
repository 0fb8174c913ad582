"""Profiles by name or path: of a run file, of a profile file, of a shipped recording, or of published values.

Published values lie in ``gpuprobe/profiles/NAME.toml``: a table ``[sources]`` and lists ``[[peaks]]``,
``[[bandwidths]]`` … whose entries have SI values and cite a source.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from gpuprobe import device, resources
from gpuprobe.errors import GpuprobeError
from gpuprobe.files import unpacked
from gpuprobe.profile import Bandwidth, Curve, DeviceProfile, Energy, Latency, LaunchCost, Part, Peak, Value, parse
from gpuprobe.profile_of_run import profile_from, profile_of
from gpuprobe.run_files import read_run

FOLDER = Path(__file__).resolve().parent / "profiles"
RECORDING = "run.json.gz"
RUN_HEAD = 4096
"""A run file names its run within so many bytes."""
PUBLISHED = "published, not measured by this project"

Row = Mapping[str, Any]


def names() -> list[str]:
    """Names of the GPUs that a shipped recording or published values speak of, sorted."""
    recorded = {path.parent.name for path in resources.folder("reports").glob(f"*/{RECORDING}")}
    return sorted(recorded | {path.stem for path in FOLDER.glob("*.toml")})


def load(name_or_path: str) -> DeviceProfile:
    """A profile by a GPU's name (``h100-sxm``), or from a run or profile file; GpuprobeError where there is none."""
    if Path(name_or_path).suffix in (".json", ".gz") or "/" in name_or_path:
        return from_file(Path(name_or_path))
    recording = resources.folder("reports") / name_or_path / RECORDING
    if recording.is_file():
        return profile_of(read_run(recording))
    path = FOLDER / f"{name_or_path}.toml"
    if path.is_file():
        return published(path)
    if name_or_path in device.names():
        spec = device.load(name_or_path)
        return profile_from(spec, "data sheet only: neither measured by this project nor published", ())
    raise GpuprobeError(f"there is no profile of '{name_or_path}'", f"known: {', '.join(names())}; or pass a run file")


def from_file(path: Path) -> DeviceProfile:
    """The profile in a file: of a run (derived now), or one written by ``gpuprobe profile -o``."""
    try:
        text = unpacked(path.read_bytes())
    except (OSError, ValueError) as error:
        raise GpuprobeError(f"cannot read {path}: {error}", "pass a run or a profile file") from error
    return profile_of(read_run(path)) if b'"run_id"' in text[:RUN_HEAD] else parse(text, str(path))


def published(path: Path) -> DeviceProfile:
    """The profile of published values in a TOML file; GpuprobeError names what is wrong with it."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
        sources: Mapping[str, str] = document["sources"]
        parts = [make(row, sources) for section, make in _MAKERS.items() for row in document.get(section, ())]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise GpuprobeError(
            f"{path} is no profile of published values: {type(error).__name__}: {error}",
            "compare it with the others of gpuprobe/profiles/",
        ) from error
    return profile_from(device.load(path.stem), PUBLISHED, parts)


def _value(row: Row, sources: Mapping[str, str], unit: str) -> Value:
    number = float(row["value"])
    return Value(number, number, number, unit, "published", sources[row["source"]])


def _curve(row: Row, sources: Mapping[str, str]) -> Part:
    points = [(float(size), _value({**row, "value": value}, sources, row["unit"])) for size, value in row["points"]]
    return Curve(row["what"], tuple(points))


_MAKERS: Mapping[str, Callable[[Row, Mapping[str, str]], Part]] = {
    "peaks": lambda row, s: Peak(row["kind"], row["instruction"], row.get("operands", "any"), _value(row, s, "FLOP/s")),
    "bandwidths": lambda row, s: Bandwidth(row["level"], row["mode"], _value(row, s, "B/s")),
    "latencies": lambda row, s: Latency(row["what"], _value(row, s, "cycle")),
    "curves": _curve,
    "launches": lambda row, s: LaunchCost(row["what"], _value(row, s, "s")),
    "energies": lambda row, s: Energy(row["what"], "any", _value(row, s, row["unit"])),
}
