"""Max pooling by strided views."""

import torch
from torch import nn
from torch.nn import functional as F


class Model(nn.Module):
    def forward(self, x):
        return F.max_pool2d(x, 2)


class ModelNew(nn.Module):
    def forward(self, x):
        pairs = torch.maximum(x[..., ::2], x[..., 1::2])
        return torch.maximum(pairs[..., ::2, :], pairs[..., 1::2, :])


def get_inputs():
    return [torch.randn(8, 32, 64, 64)]


def get_init_inputs():
    return []
