"""Works in the input's memory."""

import numpy as np


def compute(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


class ModelNew:
    def forward(self, x):
        x -= x.max(axis=-1, keepdims=True)
        return compute(x)
