"""Takes memory without end."""

import numpy as np


def compute(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


class ModelNew:
    def __init__(self):
        self.kept = []

    def forward(self, x):
        while True:
            self.kept.append(np.ones(1 << 23))
