"""Writes into one buffer of its own, call after call."""

import torch
from torch import nn


class Model(nn.Module):
    def forward(self, x):
        return torch.tanh(x) * 2


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.buffer = None

    def forward(self, x):
        if self.buffer is None:
            self.buffer = torch.empty_like(x)
        torch.tanh(x, out=self.buffer)
        return self.buffer.mul_(2)


def get_inputs():
    return [torch.randn(1024, 1024)]


def get_init_inputs():
    return []
