"""Cross entropy of rows in Triton."""

import torch
import triton
import triton.language as tl
from torch import nn
from torch.nn import functional as F


@triton.jit
def kernel(x, target, y, n, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    i = tl.arange(0, BLOCK)
    v = tl.load(x + row * n + i, mask=i < n, other=-float("inf"))
    top = tl.max(v, 0)
    chosen = tl.load(x + row * n + tl.load(target + row))
    tl.store(y + row, top + tl.log(tl.sum(tl.exp(v - top), 0)) - chosen)


class Model(nn.Module):
    def forward(self, x, target):
        return F.cross_entropy(x, target, reduction="none")


class ModelNew(nn.Module):
    def forward(self, x, target):
        x = x.contiguous()
        y = torch.empty(x.shape[0], device=x.device)
        kernel[(x.shape[0],)](x, target, y, x.shape[1], BLOCK=triton.next_power_of_2(x.shape[1]))
        return y


def get_inputs():
    return [torch.randn(2048, 1000), torch.randint(0, 1000, (2048,))]


def get_init_inputs():
    return []
