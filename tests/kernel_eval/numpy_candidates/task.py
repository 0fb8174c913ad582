"""A softmax over rows in numpy."""

import numpy as np


class Model:
    def forward(self, x):
        e = np.exp(x - x.max(axis=-1, keepdims=True))
        return e / e.sum(axis=-1, keepdims=True)


def get_inputs():
    return [np.random.standard_normal((64, 96)).astype(np.float32)]


def get_init_inputs():
    return []
