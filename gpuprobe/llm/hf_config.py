"""A model from the ``config.json`` of a Hugging Face repository, for the architectures whose arithmetic is known."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from gpuprobe.errors import GpuprobeError
from gpuprobe.llm.model import LanguageModel
from gpuprobe.ops.gemm import LARGEST_DIMENSION

Config = Mapping[str, Any]


def read(path: Path) -> LanguageModel:
    """The model of a config.json, named after its folder; GpuprobeError where it is none or of an unknown kind."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise GpuprobeError(f"cannot read {path}: {error}", "pass the config.json of a model") from error
    kind = config.get("model_type") if isinstance(config, dict) else None
    if not isinstance(kind, str) or kind not in KINDS:
        raise GpuprobeError(
            f"{path}: model_type {kind!r} is not known here",
            f"known: {', '.join(KINDS)}; latent attention, state spaces and encoders cost something else",
        )
    try:
        sizes = KINDS[kind](config)
    except KeyError as error:
        raise GpuprobeError(f"{path}: {error} is missing", f"pass the whole config.json of a {kind} model") from error
    whole = {key: value for key, value in sizes.items() if type(value) is int}
    wrong = [key for key, value in whole.items() if not (key not in _MAY_BE_NONE) <= value <= LARGEST_DIMENSION]
    if not sizes.get("head_dim") and whole.get("hidden", 0) < whole.get("heads", 0):
        wrong.append("heads")
    if wrong or not all(type(value) in _TYPES.get(key, (int,)) for key, value in sizes.items()):
        raise GpuprobeError(f"{path}: sizes make no sense: {', '.join(wrong) or 'not whole numbers'}", "check the file")
    name = path.resolve().parent.name if path.stem == "config" else path.stem
    return LanguageModel(name=name, family=kind, source=str(path), **sizes)


_MAY_BE_NONE: Final = ("experts", "experts_per_token", "positions", "window", "head_dim")
_TYPES: Final = {
    "gated": (bool,), "tied": (bool,), "qkv_bias": (bool,), "linear_bias": (bool,), "norm": (str,),
}  # fmt: skip


def _llama(config: Config) -> dict[str, Any]:
    """Rotary positions, RMSNorm, gated MLP: Llama and what is built like it."""
    heads = config["num_attention_heads"]
    window = config.get("sliding_window") if config.get("use_sliding_window", True) else 0
    return {
        "hidden": config["hidden_size"],
        "layers": config["num_hidden_layers"],
        "heads": heads,
        "kv_heads": config.get("num_key_value_heads") or heads,
        "ffn": config["intermediate_size"],
        "vocab": config["vocab_size"],
        "max_context": config["max_position_embeddings"],
        "head_dim": config.get("head_dim") or 0,
        "tied": bool(config.get("tie_word_embeddings", False)),
        "qkv_bias": bool(config.get("attention_bias", False)),
        "window": window or 0,
    }


def _qwen2(config: Config) -> dict[str, Any]:
    return {**_llama({"use_sliding_window": False, **config}), "qkv_bias": True}


def _mixtral(config: Config) -> dict[str, Any]:
    experts = {"experts": config["num_local_experts"], "experts_per_token": config["num_experts_per_tok"]}
    return {**_llama(config), **experts}


def _gemma2(config: Config) -> dict[str, Any]:
    return {**_llama(config), "tied": True, "norms_per_layer": 4, "window_every": 2}


def _gpt2(config: Config) -> dict[str, Any]:
    hidden = config["n_embd"]
    return {
        "hidden": hidden,
        "layers": config["n_layer"],
        "heads": config["n_head"],
        "kv_heads": config["n_head"],
        "ffn": config.get("n_inner") or 4 * hidden,
        "vocab": config["vocab_size"],
        "max_context": config["n_positions"],
        "positions": config["n_positions"],
        "gated": False,
        "norm": "layer",
        "tied": True,
        "linear_bias": True,
    }


def _opt(config: Config) -> dict[str, Any]:
    longest = config["max_position_embeddings"]
    return {
        "hidden": config["hidden_size"],
        "layers": config["num_hidden_layers"],
        "heads": config["num_attention_heads"],
        "kv_heads": config["num_attention_heads"],
        "ffn": config["ffn_dim"],
        "vocab": config["vocab_size"],
        "max_context": longest,
        "positions": longest + 2,  # two rows for padding
        "gated": False,
        "norm": "layer",
        "tied": True,
        "linear_bias": True,
    }


KINDS: Final[Mapping[str, Callable[[Config], dict[str, Any]]]] = {
    "llama": _llama,
    "mistral": _llama,
    "mixtral": _mixtral,
    "qwen2": _qwen2,
    "gemma2": _gemma2,
    "gpt2": _gpt2,
    "opt": _opt,
}
"""``model_type`` → how its fields are read."""
