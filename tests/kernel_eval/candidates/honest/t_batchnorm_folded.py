"""BatchNorm for inference, folded into a scale and a shift."""

import torch
from torch import nn


class Model(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.norm = nn.BatchNorm2d(c).eval()

    def forward(self, x):
        return self.norm(x)


class ModelNew(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.norm = nn.BatchNorm2d(c).eval()

    def forward(self, x):
        n = self.norm
        scale = (n.weight * torch.rsqrt(n.running_var + n.eps)).view(1, -1, 1, 1)
        return x * scale + (n.bias.view(1, -1, 1, 1) - n.running_mean.view(1, -1, 1, 1) * scale)


def get_inputs():
    return [torch.randn(8, 64, 32, 32)]


def get_init_inputs():
    return [64]
