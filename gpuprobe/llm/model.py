"""A language model as the numbers that its cost follows from: sizes, parameters, bytes of keys and values."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LanguageModel:
    """A decoder-only transformer by the numbers of its published configuration.

    ``norm`` is rms or layer; ``positions`` counts learned position embeddings (0: rotary); of ``window_every`` layers
    one attends to the last ``window`` tokens only (0: none does); ``experts`` is 0 where the MLP is dense.
    """

    name: str
    family: str
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    ffn: int
    vocab: int
    max_context: int
    head_dim: int = 0
    experts: int = 0
    experts_per_token: int = 0
    gated: bool = True
    norm: str = "rms"
    norms_per_layer: int = 2
    tied: bool = False
    qkv_bias: bool = False
    linear_bias: bool = False
    positions: int = 0
    window: int = 0
    window_every: int = 1
    source: str = ""

    @property
    def head_width(self) -> int:
        """Width of one attention head."""
        return self.head_dim or self.hidden // self.heads

    @property
    def qkv_width(self) -> int:
        """Columns of the projection to queries, keys and values together."""
        return (self.heads + 2 * self.kv_heads) * self.head_width

    @property
    def up_width(self) -> int:
        """Columns of the MLP's first projection (gate and up together where it is gated)."""
        return (2 if self.gated else 1) * self.ffn

    @property
    def mlp_parameters(self) -> int:
        """Weights and biases of one MLP, or of one expert."""
        biases = self.ffn + self.hidden if self.linear_bias else 0
        return self.hidden * self.up_width + self.ffn * self.hidden + biases

    @property
    def attention_parameters(self) -> int:
        """Weights and biases of one layer's attention."""
        weights = self.hidden * self.qkv_width + self.heads * self.head_width * self.hidden
        biases = (self.qkv_width if self.qkv_bias or self.linear_bias else 0) + (self.hidden if self.linear_bias else 0)
        return weights + biases

    @property
    def embedding_parameters(self) -> int:
        """Token and position embeddings, and the output projection unless it is the token embedding itself."""
        return (self.vocab * (1 if self.tied else 2) + self.positions) * self.hidden

    @property
    def norm_parameters(self) -> int:
        """Scales (and shifts, of LayerNorm) of all normalisations."""
        return (self.norms_per_layer * self.layers + 1) * self.hidden * (2 if self.norm == "layer" else 1)

    @property
    def linear_parameters(self) -> int:
        """Weights and biases of all layers' projections, every expert counted."""
        router = self.hidden * self.experts
        return self.layers * (self.attention_parameters + max(self.experts, 1) * self.mlp_parameters + router)

    @property
    def parameters(self) -> int:
        """All of them."""
        return self.embedding_parameters + self.linear_parameters + self.norm_parameters

    @property
    def active_parameters(self) -> int:
        """Those that one token is multiplied with: of the experts its own, no token embeddings."""
        idle = (self.experts - self.experts_per_token) * self.mlp_parameters if self.experts else 0
        return self.linear_parameters - self.layers * idle + self.vocab * self.hidden

    @property
    def windowed_layers(self) -> int:
        """Layers that attend to the last ``window`` tokens only."""
        return self.layers // self.window_every if self.window else 0

    def kv_bytes_per_token(self, element_bytes: int) -> int:
        """Bytes of keys and values of one token in all layers."""
        return 2 * self.layers * self.kv_heads * self.head_width * element_bytes

    def kv_bytes(self, tokens: int, element_bytes: int) -> int:
        """Bytes of keys and values of one sequence of ``tokens``; windowed layers keep a window's worth."""
        full = self.layers - self.windowed_layers
        kept = full * tokens + self.windowed_layers * min(tokens, self.window)
        return 2 * kept * self.kv_heads * self.head_width * element_bytes


def expected_experts(experts: int, per_token: int, tokens: int) -> float:
    """Experts that at least one of ``tokens`` goes to, on average, if the router is uniform and tokens independent."""
    return experts * (1.0 - (1.0 - per_token / experts) ** tokens)
