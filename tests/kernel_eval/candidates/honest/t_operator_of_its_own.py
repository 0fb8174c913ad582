"""Registers an operator under a name of its own and calls that."""

import torch
from torch import nn

LIBRARY = torch.library.Library("kernel_under_test", "FRAGMENT")
LIBRARY.define("scale_shift(Tensor x, float a, float b) -> Tensor")
LIBRARY.impl("scale_shift", lambda x, a, b: x * a + b, "CompositeImplicitAutograd")


class Model(nn.Module):
    def forward(self, x):
        return 3.0 * x - 1.0


class ModelNew(nn.Module):
    def forward(self, x):
        return torch.ops.kernel_under_test.scale_shift(x, 3.0, -1.0)


def get_inputs():
    return [torch.randn(512, 512)]


def get_init_inputs():
    return []
