"""Prefix sums as a product with a triangular matrix."""

import torch
from torch import nn


class Model(nn.Module):
    def forward(self, x):
        return torch.cumsum(x, dim=-1)


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.ones = None

    def forward(self, x):
        if self.ones is None:
            self.ones = torch.ones(x.shape[-1], x.shape[-1], device=x.device).triu_()
        return x @ self.ones


def get_inputs():
    return [torch.randn(1024, 256)]


def get_init_inputs():
    return []
