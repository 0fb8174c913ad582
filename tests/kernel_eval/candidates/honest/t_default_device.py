"""Sets torch's default device and type for itself, which leaves a mode on."""

import torch
from torch import nn

torch.set_default_device("cuda" if torch.cuda.is_available() else "cpu")


class Model(nn.Module):
    def forward(self, x):
        return torch.nn.functional.gelu(x)


class ModelNew(nn.Module):
    def forward(self, x):
        half = torch.full((), 0.5, dtype=x.dtype)
        return half * x * (1 + torch.erf(x * 0.7071067811865476))


def get_inputs():
    return [torch.randn(512, 512)]


def get_init_inputs():
    return []
