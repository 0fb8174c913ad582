"""What is asked: a model served in some way; everything that makes no sense is refused here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gpuprobe.errors import GpuprobeError
from gpuprobe.llm.model import LanguageModel

DTYPES: Final = {"bf16": 2, "fp16": 2, "fp8": 1}
"""Types of weights, and bytes of one; activations have two bytes, under fp8 GEMMs read them in one."""
KV_DTYPES: Final = {"bf16": 2, "fp16": 2, "fp8": 1, "int8": 1}
MODES: Final = ("graphs", "eager")
KERNELS: Final = ("fused", "separate")
ACTIVATION_BYTES: Final = 2
LARGEST_BATCH: Final = 1 << 20
PASS_TOKENS: Final = 8192
"""Tokens of a prompt that engines put through the layers at once; longer prompts take several passes."""


@dataclass(frozen=True)
class Plan:
    """``batch`` sequences of ``prompt`` tokens that are continued by ``output`` tokens each, on ``tp`` GPUs.

    ``mode``: kernels launched from a CUDA graph, or one by one by the host. ``kernels``: fused as in serving engines,
    or separate as PyTorch runs the model of transformers. ``shared`` tokens of every prompt are in the cache already.
    """

    model: LanguageModel
    batch: int = 1
    prompt: int = 512
    output: int = 128
    dtype: str = "bf16"
    kv_dtype: str = ""
    tp: int = 1
    mode: str = "graphs"
    kernels: str = "fused"
    shared: int = 0

    def __post_init__(self) -> None:
        _among("dtype", self.dtype, DTYPES)
        _among("mode", self.mode, MODES)
        _among("kernels", self.kernels, KERNELS)
        if self.kv_dtype:
            _among("kv_dtype", self.kv_dtype, KV_DTYPES)
        for name, value, least, most in (
            ("batch", self.batch, 1, LARGEST_BATCH),
            ("prompt", self.prompt, 1, self.model.max_context),
            ("output", self.output, 1, self.model.max_context),
            ("tp", self.tp, 1, 64),
            ("shared", self.shared, 0, self.prompt - 1),
        ):
            if type(value) is not int or not least <= value <= most:
                raise GpuprobeError(f"{name} = {value}", f"give a whole number from {least} to {most}")
        if self.context > self.model.max_context:
            raise GpuprobeError(
                f"{self.prompt} + {self.output} tokens are more than the {self.model.max_context} of {self.model.name}",
                "shorten --prompt or --output",
            )
        self._check_parallel()

    def _check_parallel(self) -> None:
        """Heads, groups of keys and the MLP must come out even."""
        model, tp = self.model, self.tp
        shared_kv = model.kv_heads % tp == 0 or tp % model.kv_heads == 0
        if model.heads % tp or model.ffn % tp or not shared_kv:
            raise GpuprobeError(
                f"{model.name} cannot be split over {tp} GPUs: {model.heads} heads, {model.kv_heads} of keys and "
                f"values, MLP {model.ffn} wide",
                f"use --tp {' or '.join(map(str, splits(model)))}",
            )

    @property
    def context(self) -> int:
        """Tokens of a sequence at the end."""
        return self.prompt + self.output

    @property
    def weight_bytes(self) -> int:
        """Bytes of a weight of the layers; embeddings stay in two."""
        return DTYPES[self.dtype]

    @property
    def kv_type(self) -> str:
        """Type of cached keys and values: two bytes unless another is asked for, also under fp8 weights."""
        return self.kv_dtype or ("fp16" if self.dtype == "fp16" else "bf16")

    @property
    def kv_element_bytes(self) -> int:
        """Bytes of a cached element."""
        return KV_DTYPES[self.kv_type]

    @property
    def kv_heads_here(self) -> int:
        """Heads of keys and values that one GPU holds; beyond their number they are copied."""
        return max(self.model.kv_heads // self.tp, 1)

    def kv_bytes(self, tokens: int) -> int:
        """Bytes of one sequence's keys and values on one GPU."""
        return self.model.kv_bytes(tokens, self.kv_element_bytes) * self.kv_heads_here // self.model.kv_heads


def splits(model: LanguageModel) -> list[int]:
    """Numbers of GPUs that a model can be split over evenly."""
    return [
        tp
        for tp in (1, 2, 4, 8, 16)
        if not (model.heads % tp or model.ffn % tp) and (model.kv_heads % tp == 0 or tp % model.kv_heads == 0)
    ]


def _among(name: str, value: str, known: object) -> None:
    names = list(known)  # type: ignore[call-overload]
    if value not in names:
        raise GpuprobeError(f"unknown {name} '{value}'", f"use one of: {', '.join(names)}")
