"""Gives a view that is not contiguous."""

import torch
from torch import nn


class Model(nn.Module):
    def forward(self, x):
        return (x * 2).transpose(0, 1).contiguous()


class ModelNew(nn.Module):
    def forward(self, x):
        return (x + x).transpose(0, 1)


def get_inputs():
    return [torch.randn(256, 1024)]


def get_init_inputs():
    return []
