"""What a workload runs: models by name, and the points of a sweep over phases and batches. No torch here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from gpuprobe.errors import GpuprobeError

PHASES = ("prefill", "decode", "lora")
MODES = ("eager", "compile", "graph")
LARGEST_BATCH = 4096
MOST_STEPS = 512
"""However long a point is to last: a cache of fixed size must hold its tokens."""


@dataclass(frozen=True)
class Model:
    """A transformers configuration: ``family`` is its ``model_type``; ``linears`` names the layers that LoRA adapts."""

    family: str
    config: Mapping[str, Any]
    linears: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj")
    about: str = ""

    @property
    def longest(self) -> int:
        """Positions that the model knows."""
        return int(self.config.get("max_position_embeddings", self.config.get("n_positions", 0)))


def _decoder(hidden: int, inner: int, layers: int, heads: int, kv_heads: int, vocabulary: int) -> dict[str, Any]:
    return {
        "hidden_size": hidden,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "vocab_size": vocabulary,
        "max_position_embeddings": 1 << 17,
    }


MODELS: Mapping[str, Model] = {
    "llama-1b": Model("llama", _decoder(2048, 8192, 16, 32, 8, 128_256), about="Llama 3.2 1B"),
    "llama-8b": Model("llama", _decoder(4096, 14_336, 32, 32, 8, 128_256), about="Llama 3.1 8B"),
    "qwen-0.5b": Model("qwen2", _decoder(896, 4864, 24, 14, 2, 151_936), about="Qwen 2.5 0.5B"),
    "qwen-1.5b": Model("qwen2", _decoder(1536, 8960, 28, 12, 2, 151_936), about="Qwen 2.5 1.5B"),
    "moe-small": Model(
        "mixtral",
        {**_decoder(1024, 2048, 12, 16, 4, 32_000), "num_local_experts": 8, "num_experts_per_tok": 2},
        about="Mixtral's layers, 8 experts, 2 a token, 0.7 B parameters",
    ),
    "gpt2": Model(
        "gpt2",
        {"n_embd": 768, "n_layer": 12, "n_head": 12, "n_positions": 4096, "vocab_size": 50_257},
        ("c_attn", "c_proj"),
        "GPT-2 small, with room for 4,096 positions",
    ),
    "llama-tiny": Model("llama", _decoder(64, 128, 2, 4, 2, 256), about="two narrow layers: to try things out"),
}
"""Configurations by name. Sizes are those of the models' published config.json files; weights are random."""


@dataclass(frozen=True)
class Point:
    """One run of a sweep: a model in a phase at a batch, ``context`` tokens long, in a mode."""

    model: str
    phase: str
    batch: int
    context: int
    mode: str = "eager"

    @property
    def name(self) -> str:
        """The name of its range in a trace: ``llama-1b decode b4 c512 eager``."""
        return f"{self.model} {self.phase} b{self.batch} c{self.context} {self.mode}"

    @property
    def file(self) -> str:
        """The name as part of a file's name: ``llama-1b-decode-b4-c512-eager``."""
        return self.name.replace(" ", "-")

    @property
    def tokens(self) -> int:
        """Tokens that one step handles: one a sequence in decode, else all of the context."""
        return self.batch if self.phase == "decode" else self.batch * self.context

    def describe(self) -> dict[str, Any]:
        """For the trace's meta data: the point and its tokens a step."""
        return {**asdict(self), "tokens_per_step": self.tokens}


def points(model: str, phases: Sequence[str], batches: Sequence[int], context: int, mode: str) -> list[Point]:
    """Every phase at every batch; GpuprobeError where a name or number makes no sense."""
    if model not in MODELS:
        raise GpuprobeError(f"there is no model '{model}'", f"one of: {', '.join(MODELS)}")
    unknown = [phase for phase in phases if phase not in PHASES]
    if unknown or not phases:
        raise GpuprobeError(f"there is no phase '{', '.join(unknown)}'", f"one or more of: {', '.join(PHASES)}")
    if not batches or not all(1 <= batch <= LARGEST_BATCH for batch in batches):
        raise GpuprobeError(f"batches are numbers from 1 to {LARGEST_BATCH}", "for example: --batch 1,4,16,64")
    most = MODELS[model].longest - MOST_STEPS
    if not 1 <= context <= most:
        raise GpuprobeError(f"a context of {model} has 1 to {most} tokens here", "for example: --context 512")
    if mode == "graph" and "lora" in phases:
        raise GpuprobeError("a LoRA step is not captured in a CUDA graph", "use --mode eager or compile")
    return [
        Point(model, phase, batch, context, mode) for phase in dict.fromkeys(phases) for batch in dict.fromkeys(batches)
    ]
