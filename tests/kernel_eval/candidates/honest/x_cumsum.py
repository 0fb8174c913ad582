"""Prefix sums in Triton."""

import torch
import triton
import triton.language as tl
from torch import nn


@triton.jit
def kernel(x, y, n, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    i = tl.arange(0, BLOCK)
    v = tl.load(x + row * n + i, mask=i < n, other=0.0).to(tl.float32)
    tl.store(y + row * n + i, tl.cumsum(v, 0), mask=i < n)


class Model(nn.Module):
    def forward(self, x):
        return torch.cumsum(x, dim=-1)


class ModelNew(nn.Module):
    def forward(self, x):
        x = x.contiguous()
        y = torch.empty_like(x)
        kernel[(x.shape[0],)](x, y, x.shape[1], BLOCK=triton.next_power_of_2(x.shape[1]))
        return y


def get_inputs():
    return [torch.randn(2048, 1000)]


def get_init_inputs():
    return []
