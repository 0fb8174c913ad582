"""The models that are known by name (models/*.toml, a file per family), and those of a Hugging Face config.json.

A file states ``[sources]`` (short name = where its numbers are published) and a list ``[[models]]`` of the fields of
LanguageModel, ``published_parameters`` (checked when it is read) and ``source``.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any, Final

from gpuprobe.errors import GpuprobeError
from gpuprobe.llm import hf_config
from gpuprobe.llm.model import LanguageModel

FOLDER: Final = Path(__file__).resolve().parent / "models"
_FIELDS: Final = {item.name for item in fields(LanguageModel)} - {"family", "source"}


@cache
def models() -> Mapping[str, LanguageModel]:
    """Every model by its name, in the order of the families' files."""
    return {model.name: model for path in sorted(FOLDER.glob("*.toml")) for model in read_family(path)}


def load(name_or_path: str) -> LanguageModel:
    """A model by name (``llama-3-8b``), or of a config.json; GpuprobeError where there is none."""
    if name_or_path.endswith(".json") or "/" in name_or_path:
        return hf_config.read(Path(name_or_path))
    known = models()
    name = name_or_path.strip().lower()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
        hint = f"did you mean {', '.join(near)}?" if near else "see: gpuprobe predict llm --list-models"
        raise GpuprobeError(f"unknown model '{name_or_path}'", f"{hint} Or pass the path of a config.json")
    return known[name]


def read_family(path: Path) -> list[LanguageModel]:
    """The models of one file; GpuprobeError names what is wrong with it."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
        return [_model(path.stem, row, document["sources"]) for row in document["models"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise GpuprobeError(
            f"{path} is no file of models: {type(error).__name__}: {error}", "compare it with gpuprobe/llm/models/"
        ) from error


def _model(family: str, row: Mapping[str, Any], sources: Mapping[str, str]) -> LanguageModel:
    unknown = sorted(row.keys() - _FIELDS - {"source", "published_parameters"})
    if unknown:
        raise ValueError(f"'{unknown[0]}' is no field of a model")
    sizes = {key: value for key, value in row.items() if key in _FIELDS}
    model = LanguageModel(family=family, source=sources[row["source"]], **sizes)
    if model.parameters != row["published_parameters"]:
        raise ValueError(f"{model.name} has {model.parameters} parameters, published {row['published_parameters']}")
    return model
