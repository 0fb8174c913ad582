"""The device catalogue: one TOML per product, read into DeviceSpec with SI keys and a source for every number.

A file states ``product``, ``architecture``, ``chip`` and ``nvml_names``, a table ``[sources]`` of short name = title,
document number or address, and a table ``[numbers]`` of ``key = { value = number, source = "short name" }``. Every key
ends in its unit (``boost_clock_mhz``), which becomes SI here (``boost_clock_hz``). Tensor rates are dense and
accumulate in fp32 (``_acc16``: in fp16); NVLink is both directions together, as NVIDIA states it.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from gpuprobe import arch
from gpuprobe.errors import GpuprobeError
from gpuprobe.record import DeviceSpec, Number

FOLDER = Path(__file__).resolve().parent / "devices"

# Unit at the end of a key in a file: unit at the end of the key in a DeviceSpec, and the factor between them.
UNITS: Mapping[str, tuple[str, float]] = {
    "_count": ("_count", 1),
    "_generation": ("_generation", 1),
    "_ratio": ("_ratio", 1),
    "_bits": ("_bits", 1),
    "_w": ("_w", 1),
    "_mhz": ("_hz", 1e6),
    "_mib": ("_bytes", 2**20),
    "_gib": ("_bytes", 2**30),
    "_gb": ("_bytes", 1e9),
    "_gb_per_s": ("_bytes_per_s", 1e9),
    "_gbit_per_s": ("_bit_per_s", 1e9),
    "_tflops": ("_flop_per_s", 1e12),
    "_tops": ("_op_per_s", 1e12),
}

REQUIRED = ("sm_count", "boost_clock_hz", "memory_bytes", "dram_bandwidth_bytes_per_s", "l2_bytes")

_STRINGS = ("product", "architecture", "chip")
_KEY = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)+")
_TENSOR = re.compile(r"tensor_([a-z0-9]+?)(?:_acc16)?(?:_tflops|_tops|_rate_ratio)")
# ECC held in the same memory takes 1/16 of it, and the driver reserves some more.
_SMALLEST_VISIBLE_MEMORY = 0.9
# No number of a device file reaches this; it also keeps whole numbers too large for a float out.
_LARGEST = 1e12


def names() -> list[str]:
    """Names of the catalogue's devices, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load(name_or_path: str) -> DeviceSpec:
    """A device by catalogue name (``h100-sxm``) or file (``mine.toml``); GpuprobeError if unknown or malformed."""
    if name_or_path.endswith(".toml"):
        return _read(Path(name_or_path))
    name = name_or_path.strip().lower().replace("_", "-")
    known = names()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
        hint = f"did you mean {', '.join(near)}?" if near else f"known: {', '.join(known)}; or pass a PATH.toml"
        raise GpuprobeError(f"unknown GPU '{name_or_path}'", hint)
    return _read(FOLDER / f"{name}.toml")


def match(product: str, *, memory_bytes: float | None = None) -> DeviceSpec | None:
    """The catalogue's device that NVML calls ``product``, or None.

    With ``memory_bytes`` (total memory by NVML) products of one name are told apart, and a name with another memory
    size than the catalogue's is no match. A MIG slice has another name, so none either.
    """
    wanted = _plain(product)
    found = [
        spec
        for spec in _catalogue()
        if wanted in map(_plain, spec.nvml_names) and (memory_bytes is None or _holds(spec, memory_bytes))
    ]
    return found[0] if len(found) == 1 else None


def for_architecture(architecture: arch.Architecture | str) -> list[str]:
    """Names of the catalogue's devices of an architecture (a row, or text as ``arch.parse`` takes it), sorted."""
    row = arch.parse(architecture) if isinstance(architecture, str) else architecture
    return [spec.name for spec in _catalogue() if spec.architecture == row.name]


def tensor_fma(spec: DeviceSpec, kind: str) -> float | None:
    """Dense tensor multiply-adds per clock per SM of a product (fp32 or int32 accumulate), None where not known.

    The architecture's rate times the product's ``tensor_KIND_rate_ratio``: GeForce cards, for one, accumulate in fp32
    at half rate.
    """
    rate = arch.parse(spec.architecture).tensor_fma.get(kind)
    ratio = spec.get(f"tensor_{kind}_rate_ratio")
    return None if rate is None else rate * (1.0 if ratio is None else ratio)


def _plain(product: str) -> str:
    """An NVML product name without the vendor, which drivers before R470 left out."""
    return " ".join(product.lower().split()).removeprefix("nvidia ")


def _holds(spec: DeviceSpec, memory_bytes: float) -> bool:
    return _SMALLEST_VISIBLE_MEMORY <= memory_bytes / spec["memory_bytes"] <= 1.0


@cache
def _catalogue() -> tuple[DeviceSpec, ...]:
    return tuple(_read(FOLDER / f"{name}.toml") for name in names())


def _read(path: Path) -> DeviceSpec:
    """A device file, checked whole; the error names the file and the key."""
    try:
        with path.open("rb") as file:
            document = tomllib.load(file)
    except OSError as error:
        raise GpuprobeError(f"cannot read {path}: {error.strerror or error}", "check the path") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise GpuprobeError(f"{path} is not TOML: {error}", "compare it with a file of gpuprobe/devices/") from error
    return _spec(path, document)


def _spec(path: Path, document: Mapping[str, Any]) -> DeviceSpec:
    unknown = sorted(document.keys() - {*_STRINGS, "nvml_names", "sources", "numbers"})
    if unknown:
        raise _bad(path, unknown[0], "is not a key of a device file", "numbers go into the table [numbers]")
    product, architecture, chip = (_text(path, key, document.get(key)) for key in _STRINGS)
    return DeviceSpec(
        name=path.stem,
        product=product,
        architecture=_architecture(path, architecture),
        chip=chip,
        numbers=_numbers(path, document),
        nvml_names=_nvml_names(path, document.get("nvml_names", [])),
    )


def _architecture(path: Path, text: str) -> str:
    if text not in arch.ARCHITECTURES:
        raise _bad(path, "architecture", f"'{text}' is unknown", f"known: {', '.join(arch.ARCHITECTURES)}")
    return text


def _nvml_names(path: Path, listed: Any) -> tuple[str, ...]:
    if not isinstance(listed, list):
        raise _bad(path, "nvml_names", "is not a list", 'write nvml_names = ["NVIDIA L4"]')
    return tuple(_text(path, "nvml_names", name) for name in listed)


def _numbers(path: Path, document: Mapping[str, Any]) -> dict[str, Number]:
    stated = _table(path, "numbers", document.get("numbers"))
    listed = _table(path, "sources", document.get("sources"))
    sources = {name: _text(path, f"sources.{name}", title) for name, title in listed.items()}
    numbers: dict[str, Number] = {}
    for key, entry in stated.items():
        si_key, factor = _unit(path, key)
        if si_key in numbers:
            raise _bad(path, key, f"states '{si_key}' a second time", "keep one of the two")
        numbers[si_key] = _number(path, key, entry, factor, sources)
    missing = [key for key in REQUIRED if key not in numbers]
    if missing:
        raise _bad(
            path, missing[0], "is missing from [numbers]", f"required: {', '.join(REQUIRED)} (in units of the file)"
        )
    return numbers


def _unit(path: Path, key: str) -> tuple[str, float]:
    """SI key of a file's key, and the factor to SI; the longest unit that fits is the unit."""
    for suffix in sorted(UNITS, key=len, reverse=True):
        if key.endswith(suffix) and _KEY.fullmatch(key):
            _check_tensor_type(path, key)
            si_suffix, factor = UNITS[suffix]
            return key.removesuffix(suffix) + si_suffix, factor
    raise _bad(path, key, "does not end in a known unit", f"units: {', '.join(UNITS)}")


def _check_tensor_type(path: Path, key: str) -> None:
    kind = _TENSOR.fullmatch(key)
    if kind and kind[1] not in arch.TENSOR_TYPES:
        raise _bad(path, key, f"'{kind[1]}' is not a tensor type", f"types: {', '.join(arch.TENSOR_TYPES)}")


def _number(path: Path, key: str, entry: Any, factor: float, sources: Mapping[str, str]) -> Number:
    form = f'write {key} = {{ value = 1.0, source = "name" }}'
    if not isinstance(entry, dict) or "source" not in entry:
        raise _bad(path, key, "has no source", form)
    if entry.keys() != {"value", "source"}:
        raise _bad(path, key, f"holds {', '.join(entry)} instead of value, source", form)
    value, source = entry["value"], entry["source"]
    if not isinstance(source, str) or source not in sources:
        raise _bad(path, key, f"cites '{source}', which [sources] does not define", "add it to the table [sources]")
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _bad(path, key, f"is {value!r}, not a number", form)
    if not 0 < value < _LARGEST:
        raise _bad(path, key, f"is not a positive number below {_LARGEST:g}", "leave out what the device has not")
    return Number(float(value) * factor, "datasheet", sources[source])


def _table(path: Path, key: str, table: Any) -> dict[str, Any]:
    if not isinstance(table, dict):
        raise _bad(path, key, "is not a table", f"write a table [{key}]")
    return table


def _text(path: Path, key: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _bad(path, key, "is missing or not a text", f'write {key} = "…"')
    return value


def _bad(path: Path, key: str, why: str, hint: str) -> GpuprobeError:
    return GpuprobeError(f"{path}: '{key}' {why}", hint)
