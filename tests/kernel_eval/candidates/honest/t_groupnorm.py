"""GroupNorm from moments."""

import torch
from torch import nn


class Model(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.norm = nn.GroupNorm(8, c)

    def forward(self, x):
        return self.norm(x)


class ModelNew(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.norm = nn.GroupNorm(8, c)

    def forward(self, x):
        n, c, h, w = x.shape
        g = x.reshape(n, 8, -1)
        variance, mean = torch.var_mean(g, -1, keepdim=True, correction=0)
        y = ((g - mean) * torch.rsqrt(variance + self.norm.eps)).view(n, c, h, w)
        return y * self.norm.weight.view(1, -1, 1, 1) + self.norm.bias.view(1, -1, 1, 1)


def get_inputs():
    return [torch.randn(8, 64, 32, 32)]


def get_init_inputs():
    return [64]
