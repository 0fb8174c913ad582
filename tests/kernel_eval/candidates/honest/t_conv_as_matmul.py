"""A 1x1 convolution as a matrix product."""

import torch
from torch import nn


class Model(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.conv = nn.Conv2d(c, c, 1)

    def forward(self, x):
        return self.conv(x)


class ModelNew(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.conv = nn.Conv2d(c, c, 1)

    def forward(self, x):
        n, c, h, w = x.shape
        y = torch.matmul(self.conv.weight.view(-1, c), x.reshape(n, c, h * w))
        return y.view(n, -1, h, w) + self.conv.bias.view(1, -1, 1, 1)


def get_inputs():
    return [torch.randn(4, 64, 32, 32)]


def get_init_inputs():
    return [64]
