"""Times two ways by itself at its first calls and keeps the faster one."""

import time

import torch
from torch import nn


class Model(nn.Module):
    def forward(self, x, w):
        return torch.nn.functional.linear(x, w)


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.spent, self.calls = [0.0, 0.0], 0

    def ways(self, number, x, w):
        return torch.mm(x, w.t()) if number else torch.matmul(w, x.t()).t().contiguous()

    def forward(self, x, w):
        self.calls += 1
        if self.calls <= 6:
            number = self.calls % 2
            begin = time.perf_counter()
            y = self.ways(number, x, w)
            if x.is_cuda:
                torch.cuda.synchronize()
            self.spent[number] += time.perf_counter() - begin
            return y
        return self.ways(int(self.spent[1] < self.spent[0]), x, w)


def get_inputs():
    return [torch.randn(256, 384), torch.randn(256, 384) / 16]


def get_init_inputs():
    return []
