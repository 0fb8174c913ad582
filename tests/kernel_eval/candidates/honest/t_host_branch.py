"""Looks at its data on the host to take a short way."""

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
    return [torch.randn(1024, 1024)]


def get_init_inputs():
    return []
