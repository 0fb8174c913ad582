"""Softmax attention: FLOPs and least bytes, with grouped queries (GQA) and the causal mask counted as they are.

Fused kernels never store the scores, so they are no traffic; the softmax itself (about 5 operations a score, on other
pipes) is left out, as every published FLOP count does.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Attention:
    """``heads`` query heads share ``kv_heads`` of keys and values. A causal mask is aligned to the last query and key:
    with a cache of ``keys`` and ``queries`` new tokens, the last token sees everything.
    """

    batch: int
    queries: int
    keys: int
    heads: int
    kv_heads: int
    head_dim: int
    causal: bool = True
    element_bytes: int = 2

    @property
    def pairs(self) -> int:
        """Query-key pairs of one head that the mask leaves."""
        if not self.causal:
            return self.queries * self.keys
        rows = min(self.queries, self.keys)
        return rows * self.keys - rows * (rows - 1) // 2

    @property
    def flop(self) -> int:
        """Q·Kᵀ and P·V: two products of 2·head_dim operations for each pair and query head."""
        return 4 * self.batch * self.heads * self.pairs * self.head_dim

    @property
    def bytes(self) -> int:
        """Q read and O written for every query head, K and V read once for every head of their own."""
        queries = 2 * self.heads * self.queries
        keys = 2 * self.kv_heads * self.keys
        return self.batch * (queries + keys) * self.head_dim * self.element_bytes
