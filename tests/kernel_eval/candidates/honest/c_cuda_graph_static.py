"""Replays a CUDA graph and gives the graph's own output."""

import torch
from torch import nn


def compute(x):
    for _ in range(4):
        x = torch.tanh(x) + 0.5 * x
    return x


class Model(nn.Module):
    def forward(self, x):
        for _ in range(4):
            x = torch.tanh(x) + 0.5 * x
        return x


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.graph = None

    def forward(self, x):
        if self.graph is None:
            self.kept = x.clone()
            compute(self.kept)
            torch.cuda.synchronize()
            self.graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self.graph):
                self.out = compute(self.kept)
        self.kept.copy_(x)
        self.graph.replay()
        return self.out


def get_inputs():
    return [torch.randn(512, 512)]


def get_init_inputs():
    return []
