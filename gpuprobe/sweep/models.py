"""GEMMs of the linear layers of well-known transformer models, from their public configurations."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache


@dataclass(frozen=True)
class Transformer:
    """Sizes of one model: ``heads``·``head`` wide queries, ``kv_heads``·``head`` wide keys and values, vocabulary."""

    name: str
    hidden: int
    ffn: int
    heads: int
    kv_heads: int
    vocab: int
    head: int = 0
    gated: bool = True

    @property
    def head_width(self) -> int:
        """Width of one attention head."""
        return self.head or self.hidden // self.heads


MODELS = (
    Transformer("llama-3.2-1b", 2048, 8192, 32, 8, 128256),
    Transformer("llama-3.2-3b", 3072, 8192, 24, 8, 128256),
    Transformer("llama-2-7b", 4096, 11008, 32, 32, 32000),
    Transformer("llama-2-13b", 5120, 13824, 40, 40, 32000),
    Transformer("llama-3-8b", 4096, 14336, 32, 8, 128256),
    Transformer("llama-30b", 6656, 17920, 52, 52, 32000),
    Transformer("llama-3-70b", 8192, 28672, 64, 8, 128256),
    Transformer("llama-3.1-405b", 16384, 53248, 128, 8, 128256),
    Transformer("qwen2.5-0.5b", 896, 4864, 14, 2, 151936),
    Transformer("qwen2.5-1.5b", 1536, 8960, 12, 2, 151936),
    Transformer("qwen2.5-7b", 3584, 18944, 28, 4, 152064),
    Transformer("qwen2.5-14b", 5120, 13824, 40, 8, 152064),
    Transformer("qwen2.5-32b", 5120, 27648, 40, 8, 152064),
    Transformer("qwen2.5-72b", 8192, 29568, 64, 8, 152064),
    Transformer("qwen3-0.6b", 1024, 3072, 16, 8, 151936, 128),
    Transformer("qwen3-4b", 2560, 9728, 32, 8, 151936, 128),
    Transformer("qwen3-8b", 4096, 12288, 32, 8, 151936, 128),
    Transformer("qwen3-32b", 5120, 25600, 64, 8, 151936, 128),
    Transformer("qwen3-30b-a3b-expert", 2048, 768, 32, 4, 151936, 128),
    Transformer("qwen3-235b-a22b-expert", 4096, 1536, 64, 4, 151936, 128),
    Transformer("mistral-7b", 4096, 14336, 32, 8, 32768),
    Transformer("mistral-nemo-12b", 5120, 14336, 32, 8, 131072, 128),
    Transformer("mistral-small-24b", 5120, 32768, 32, 8, 131072, 128),
    Transformer("mistral-large-123b", 12288, 28672, 96, 8, 32768),
    Transformer("mixtral-8x22b-expert", 6144, 16384, 48, 8, 32768),
    Transformer("gpt2", 768, 3072, 12, 12, 50257, gated=False),
    Transformer("gpt2-medium", 1024, 4096, 16, 16, 50257, gated=False),
    Transformer("gpt2-xl", 1600, 6400, 25, 25, 50257, gated=False),
    Transformer("gpt3-6.7b", 4096, 16384, 32, 32, 50257, gated=False),
    Transformer("gpt3-175b", 12288, 49152, 96, 96, 50257, gated=False),
    Transformer("gpt-oss-20b-expert", 2880, 2880, 64, 8, 201088, 64),
    Transformer("opt-1.3b", 2048, 8192, 32, 32, 50272, gated=False),
    Transformer("opt-66b", 9216, 36864, 72, 72, 50272, gated=False),
    Transformer("gemma-2b", 2048, 16384, 8, 1, 256000, 256),
    Transformer("gemma-2-9b", 3584, 14336, 16, 8, 256000, 256),
    Transformer("gemma-2-27b", 4608, 36864, 32, 16, 256000, 128),
    Transformer("gemma-3-4b", 2560, 10240, 8, 4, 262208, 256),
    Transformer("phi-2", 2560, 10240, 32, 32, 51200, gated=False),
    Transformer("phi-3-mini", 3072, 8192, 32, 32, 32064),
    Transformer("phi-4", 5120, 17920, 40, 10, 100352),
    Transformer("falcon-7b", 4544, 18176, 71, 1, 65024, gated=False),
    Transformer("falcon-40b", 8192, 32768, 128, 8, 65024, gated=False),
    Transformer("yi-34b", 7168, 20480, 56, 8, 64000),
    Transformer("glm-4-9b", 4096, 13696, 32, 2, 151552),
    Transformer("command-r", 8192, 22528, 64, 64, 256000),
    Transformer("deepseek-7b", 4096, 11008, 32, 32, 102400),
    Transformer("deepseek-v2-lite-expert", 2048, 1408, 16, 16, 102400),
    Transformer("deepseek-v3-expert", 7168, 2048, 128, 128, 129280, 128),
    Transformer("deepseek-v3-dense", 7168, 18432, 128, 128, 129280, 128),
    Transformer("smollm-135m", 576, 1536, 9, 3, 49152),
    Transformer("pythia-1b", 2048, 8192, 8, 8, 50304, gated=False),
    Transformer("bloom-176b", 14336, 57344, 112, 112, 250880, gated=False),
    Transformer("t5-base", 768, 3072, 12, 12, 32128, gated=False),
    Transformer("t5-11b", 1024, 65536, 128, 128, 32128, 128, gated=False),
    Transformer("bert-base", 768, 3072, 12, 12, 30522, gated=False),
    Transformer("bert-large", 1024, 4096, 16, 16, 30522, gated=False),
    Transformer("vit-huge", 1280, 5120, 16, 16, 1000, gated=False),
    Transformer("whisper-large", 1280, 5120, 20, 20, 51866, gated=False),
)
# DeepSeek's latent attention is no plain QKV: hidden 7168, query rank 1536, latent 512 + 64, 128 heads of 192 and 128.
_LATENT = ((1536, 7168), (24576, 1536), (576, 7168), (32768, 512), (7168, 16384), (2112, 7168))
TENSOR_PARALLEL = (1, 2, 4, 8)


def layers(model: Transformer, parallel: int) -> Iterator[tuple[int, int]]:
    """(n, k) of the model's linear layers on one of ``parallel`` GPUs: QKV, output, up and gate, down, vocabulary."""
    width = model.head_width
    up = (2 if model.gated else 1) * model.ffn
    kv_width = max(model.kv_heads // parallel, 1) * width
    yield model.heads * width // parallel + 2 * kv_width, model.hidden
    yield model.hidden, model.heads * width // parallel
    yield up // parallel, model.hidden
    yield model.hidden, model.ffn // parallel
    yield model.vocab // parallel, model.hidden


@cache
def layer_pairs() -> tuple[tuple[int, int], ...]:
    """Every distinct (n, k) of the models at each degree of tensor parallelism, in a fixed order."""
    pairs = {pair for model in MODELS for parallel in TENSOR_PARALLEL for pair in layers(model, parallel)}
    pairs |= {(n // parallel, k) for n, k in _LATENT[1:4:2] for parallel in TENSOR_PARALLEL} | set(_LATENT)
    return tuple(sorted(pairs))
