"""Activation functions as bijections of the real line."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pyroxene.distributions import constraints
from pyroxene.distributions.transforms.base import PureTransform

__all__ = ["ELUTransform", "LeakyReLUTransform", "elu", "leaky_relu"]


class ELUTransform(PureTransform):
    """Bijection from the real line to (-1, ∞): y = x where x > 0, else exp(x) - 1.

    Example:
        >>> ELUTransform()(torch.tensor([-1.0, 2.0]))
        tensor([-0.6321,  2.0000])
    """

    domain = constraints.real
    codomain = constraints.greater_than(-1.0)
    bijective = True
    sign = +1

    def _call(self, x: Tensor) -> Tensor:
        return torch.nn.functional.elu(x)

    def _inverse(self, y: Tensor) -> Tensor:
        least = torch.finfo(y.dtype).eps - 1  # rounding may have put y on the open bound
        return torch.where(y > 0, y, y.clamp(least, 0).log1p())

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return x.clamp(max=0)


class LeakyReLUTransform(PureTransform):
    """Bijection of the real line: y = x where x > 0, else x / 100.

    Example:
        >>> LeakyReLUTransform()(torch.tensor([-1.0, 2.0]))
        tensor([-0.0100,  2.0000])
    """

    domain = constraints.real
    codomain = constraints.real
    bijective = True
    sign = +1

    _slope = 0.01

    def _call(self, x: Tensor) -> Tensor:
        return torch.nn.functional.leaky_relu(x, self._slope)

    def _inverse(self, y: Tensor) -> Tensor:
        return torch.nn.functional.leaky_relu(y, 1 / self._slope)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return torch.where(x >= 0, torch.zeros_like(x), torch.full_like(x, math.log(self._slope)))


def elu() -> ELUTransform:
    """Return an ELUTransform."""
    return ELUTransform()


def leaky_relu() -> LeakyReLUTransform:
    """Return a LeakyReLUTransform."""
    return LeakyReLUTransform()
