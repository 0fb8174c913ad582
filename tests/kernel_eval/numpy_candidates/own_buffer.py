"""Computes into a buffer of its own, call after call."""

import numpy as np


def compute(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


class ModelNew:
    def __init__(self):
        self.buffer = None

    def forward(self, x):
        if self.buffer is None:
            self.buffer = np.empty_like(x)
        np.copyto(self.buffer, compute(x))
        return self.buffer
