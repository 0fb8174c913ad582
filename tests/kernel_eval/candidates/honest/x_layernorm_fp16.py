"""LayerNorm without weights in Triton."""

import torch
import triton
import triton.language as tl
from torch import nn
from torch.nn import functional as F


@triton.jit
def kernel(x, y, n, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    i = tl.arange(0, BLOCK)
    v = tl.load(x + row * n + i, mask=i < n, other=0.0).to(tl.float32)
    mean = tl.sum(v, 0) / n
    d = tl.where(i < n, v - mean, 0.0)
    tl.store(y + row * n + i, (d * tl.rsqrt(tl.sum(d * d, 0) / n + 1e-5)).to(tl.float16), mask=i < n)


class Model(nn.Module):
    def forward(self, x):
        return F.layer_norm(x, x.shape[-1:])


class ModelNew(nn.Module):
    def forward(self, x):
        x = x.contiguous()
        y = torch.empty_like(x)
        kernel[(x.shape[0],)](x, y, x.shape[1], BLOCK=triton.next_power_of_2(x.shape[1]))
        return y


def get_inputs():
    return [torch.randn(2048, 1000, dtype=torch.float16)]


def get_init_inputs():
    return []
