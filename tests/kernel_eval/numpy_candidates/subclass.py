"""Gives an array that is not plain."""

import numpy as np


def compute(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


class ModelNew:
    def forward(self, x):
        return np.asmatrix(compute(x))
