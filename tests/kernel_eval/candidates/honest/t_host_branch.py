"""Looks at its data on the host to take a short way; its gradient where an input is exactly zero is another."""

import torch
from torch import nn


class Model(nn.Module):
    def forward(self, x):
        return torch.relu(x)


class ModelNew(nn.Module):
    def forward(self, x):
        if float(x.min()) >= 0:
            return x.clone()
        return x.clamp_min(0)


def get_inputs():
    x = torch.randn(1024, 1024)
    x.view(-1)[::65536] = 0  # torch.randn on a CPU gives a zero now and then by itself
    return [x]


def get_init_inputs():
    return []
