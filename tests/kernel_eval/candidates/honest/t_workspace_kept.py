"""Works in buffers that it made at its first call, in place, and gives one of them back."""

import torch
from torch import nn


class Model(nn.Module):
    def forward(self, x, w):
        return torch.relu(x @ w) ** 2


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.work = None

    def forward(self, x, w):
        if self.work is None or self.work.shape != (x.shape[0], w.shape[1]):
            self.work = torch.empty(x.shape[0], w.shape[1], dtype=x.dtype, device=x.device)
        with torch.no_grad():
            torch.mm(x, w, out=self.work)
            return self.work.relu_().square_()


def get_inputs():
    return [torch.randn(256, 256), torch.randn(256, 128) / 16]


def get_init_inputs():
    return []
