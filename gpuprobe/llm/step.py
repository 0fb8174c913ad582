"""One pass of tokens through a model: how many sequences, new tokens of each, and what they attend to."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from gpuprobe.llm.operation import CacheRead, Scores, Work
from gpuprobe.llm.plan import ACTIVATION_BYTES, PASS_TOKENS, Plan
from gpuprobe.ops.attention import Attention

FEW: Final = 16
"""New tokens of a sequence that one tile of a decoding kernel holds: a cache is read once for all of them."""


@dataclass(frozen=True)
class Step:
    """``sequences`` with ``queries`` new tokens each, which see ``keys`` tokens at the end (their own included)."""

    sequences: int
    queries: int
    keys: int

    @property
    def tokens(self) -> int:
        """New tokens."""
        return self.sequences * self.queries

    @property
    def is_decode(self) -> bool:
        """Whether a sequence adds so few tokens that attention waits for the cache, not for the matrix units."""
        return self.queries <= FEW

    def passes(self, plan: Plan) -> int:
        """Times that the layers run: fused engines cut long prompts, transformers does not."""
        return math.ceil(self.tokens / PASS_TOKENS) if plan.kernels == "fused" else 1

    def attention(self, plan: Plan, windowed: bool) -> Work:
        """One layer's attention on one GPU."""
        model, width = plan.model, plan.model.head_width
        keys = min(self.keys, model.window) if windowed else self.keys
        if self.is_decode:
            return CacheRead(2 * self.sequences * keys * plan.kv_heads_here * width * plan.kv_element_bytes)
        heads = model.heads // plan.tp
        full = Attention(self.sequences, self.queries, self.keys, heads, plan.kv_heads_here, width)
        pairs = windowed_pairs(self.queries, self.keys, keys)
        return Scores(4 * self.sequences * heads * pairs * width, full.bytes, self.queries, width)


def prefill_step(plan: Plan) -> Step:
    """The prompts, without what they share with what is cached."""
    return Step(plan.batch, plan.prompt - plan.shared, plan.prompt)


def decode_step(plan: Plan) -> Step:
    """One token for every sequence, in the middle of the output: its cost grows linearly, so that is the mean."""
    return Step(plan.batch, 1, plan.prompt + (plan.output + 1) // 2)


def windowed_pairs(queries: int, keys: int, window: int) -> int:
    """Query-key pairs of one head where the last query sees the last key and each sees ``window`` tokens at most."""
    first = keys - queries + 1  # tokens that the first query may see
    short = max(min(window - first, queries), 0)  # queries that see less than a window
    return short * first + short * (short - 1) // 2 + (queries - short) * window


def activation_bytes(plan: Plan, step: Step) -> int:
    """Bytes of one layer's largest intermediate results and the residual, on one GPU, and of the logits."""
    model = plan.model
    tokens = math.ceil(step.tokens / step.passes(plan))
    inner = model.up_width * max(model.experts_per_token, 1) // plan.tp
    widest = max(inner + inner // 2, model.qkv_width // plan.tp + model.hidden)
    logits = step.sequences * model.vocab * 4
    return tokens * (2 * model.hidden + widest) * ACTIVATION_BYTES + logits
