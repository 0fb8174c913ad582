"""Splits its work over threads and waits for them."""

from concurrent.futures import ThreadPoolExecutor

import torch
from torch import nn


class Model(nn.Module):
    def forward(self, x):
        return torch.softmax(x, dim=-1)


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.pool = ThreadPoolExecutor(2)

    def forward(self, x):
        parts = list(self.pool.map(lambda part: torch.softmax(part, dim=-1), x.chunk(2)))
        return torch.cat(parts)


def get_inputs():
    return [torch.randn(512, 1024)]


def get_init_inputs():
    return []
