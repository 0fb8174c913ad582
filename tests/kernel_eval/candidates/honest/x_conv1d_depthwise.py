"""A depthwise convolution of three taps in Triton."""

import torch
import triton
import triton.language as tl
from torch import nn


@triton.jit
def kernel(x, w, bias, y, channels, length, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    channel = row % channels
    i = tl.arange(0, BLOCK)
    total = tl.zeros((BLOCK,), tl.float32) + tl.load(bias + channel)
    for tap in tl.static_range(3):
        at = i + tap - 1
        v = tl.load(x + row * length + at, mask=(at >= 0) & (at < length), other=0.0)
        total += v * tl.load(w + channel * 3 + tap)
    tl.store(y + row * length + i, total, mask=i < length)


class Model(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.conv = nn.Conv1d(c, c, 3, padding=1, groups=c)

    def forward(self, x):
        return self.conv(x)


class ModelNew(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.conv = nn.Conv1d(c, c, 3, padding=1, groups=c)

    def forward(self, x):
        x = x.contiguous()
        y = torch.empty_like(x)
        n, c, length = x.shape
        kernel[(n * c,)](x, self.conv.weight, self.conv.bias, y, c, length, BLOCK=triton.next_power_of_2(length))
        return y


def get_inputs():
    return [torch.randn(16, 64, 1000)]


def get_init_inputs():
    return [64]
