"""A sum by atomic additions: their order changes from call to call."""

import torch
import triton
import triton.language as tl
from torch import nn


@triton.jit
def kernel(x, y, n, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.atomic_add(y, tl.sum(tl.load(x + i, mask=i < n, other=0.0), 0))


class Model(nn.Module):
    def forward(self, x):
        return x.sum()


class ModelNew(nn.Module):
    def forward(self, x):
        x = x.contiguous()
        y = torch.zeros((), device=x.device)
        kernel[(triton.cdiv(x.numel(), 4096),)](x, y, x.numel(), BLOCK=4096)
        return y


def get_inputs():
    return [torch.rand(1024, 1024)]


def get_init_inputs():
    return []
