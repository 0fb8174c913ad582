"""Compiles itself when it is called first."""

import torch
from torch import nn


class Model(nn.Module):
    def forward(self, x):
        return x * torch.sigmoid(1.702 * x)


def quick(x):
    return torch.sigmoid(1.702 * x).mul(x)


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.compiled = None

    def forward(self, x):
        if self.compiled is None:
            self.compiled = torch.jit.trace(quick, x, check_trace=False)
        return self.compiled(x)


def get_inputs():
    return [torch.randn(512, 512)]


def get_init_inputs():
    return []
