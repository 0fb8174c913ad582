"""Cross entropy from logsumexp; one input holds labels."""

import torch
from torch import nn
from torch.nn import functional as F


class Model(nn.Module):
    def forward(self, x, target):
        return F.cross_entropy(x, target)


class ModelNew(nn.Module):
    def forward(self, x, target):
        return (torch.logsumexp(x, 1) - x.gather(1, target[:, None]).squeeze(1)).mean()


def get_inputs():
    return [torch.randn(1024, 256), torch.randint(0, 256, (1024,))]


def get_init_inputs():
    return []
