"""Product of upper triangular matrices: zeros are part of the task."""

import torch
from torch import nn


class Model(nn.Module):
    def forward(self, a, b):
        return torch.triu(a @ b)


class ModelNew(nn.Module):
    def forward(self, a, b):
        half = a.shape[0] // 2
        out = torch.zeros_like(a)
        out[:half] = a[:half] @ b
        out[half:, half:] = a[half:, half:] @ b[half:, half:]
        return out.triu_()


def get_inputs():
    return [torch.randn(512, 512).triu(), torch.randn(512, 512).triu()]


def get_init_inputs():
    return []
