"""GELU by its formula, in place on its own buffer."""

import torch
from torch import nn
from torch.nn import functional as F


class Model(nn.Module):
    def forward(self, x):
        return F.gelu(x)


class ModelNew(nn.Module):
    def forward(self, x):
        y = torch.erf(x * 0.7071067811865476)
        return y.add_(1).mul_(x).mul_(0.5)


def get_inputs():
    return [torch.randn(1024, 1024)]


def get_init_inputs():
    return []
