"""Two outputs."""

import torch
from torch import nn


class Model(nn.Module):
    def forward(self, x):
        return x.amin(-1), x.amax(-1)


class ModelNew(nn.Module):
    def forward(self, x):
        return torch.aminmax(x, dim=-1)


def get_inputs():
    return [torch.randn(1024, 1024)]


def get_init_inputs():
    return []
