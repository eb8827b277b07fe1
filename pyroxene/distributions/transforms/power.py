"""Signed powers of the real line."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from pyroxene.distributions import constraints
from pyroxene.distributions.transforms.base import PureTransform
from pyroxene.errors import ParameterError
from pyroxene.settings import value_of

__all__ = ["PositivePowerTransform"]


class PositivePowerTransform(PureTransform):
    """Bijection of the real line: y = sign(x) |x|^exponent, for a positive exponent.

    The log-Jacobian is infinite at the origin unless the exponent is 1.

    Args:
        exponent: a positive number or tensor.
        cache_size: 1 keeps the last pair of values, 0 none.
        validate_args: check the exponent; as the settings say by default.

    Raises:
        ParameterError: the exponent is not positive.

    Example:
        >>> PositivePowerTransform(2)(torch.tensor([-2.0, 3.0]))
        tensor([-4.,  9.])
    """

    domain = constraints.real
    codomain = constraints.real
    bijective = True
    sign = +1

    def __init__(self, exponent: Tensor | float, *, cache_size: int = 0, validate_args: bool | None = None) -> None:
        super().__init__(cache_size=cache_size)
        self.exponent = exponent
        if value_of("validate_distributions_pyro") if validate_args is None else validate_args:
            if not torch.as_tensor(exponent).gt(0).all():
                raise ParameterError(
                    "Expected exponent > 0", expected="exponent > 0", got=exponent, hint="take its exponential"
                )

    def _key(self) -> tuple[Any, ...]:
        return (self.exponent,)

    def _call(self, x: Tensor) -> Tensor:
        return x.sign() * x.abs().pow(self.exponent)

    def _inverse(self, y: Tensor) -> Tensor:
        return y.sign() * y.abs().pow(1 / self.exponent)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        power = self.exponent
        log_power = power.log() if isinstance(power, Tensor) else math.log(power)
        return torch.xlogy(power - 1, x.abs()) + log_power

    def forward_shape(self, shape: torch.Size) -> torch.Size:
        return torch.broadcast_shapes(shape, getattr(self.exponent, "shape", ()))

    def inverse_shape(self, shape: torch.Size) -> torch.Size:
        return torch.broadcast_shapes(shape, getattr(self.exponent, "shape", ()))
