"""Zipf's (zeta) distribution: probabilities that fall as a power."""

from __future__ import annotations

import math
from typing import Any

import torch

from pyroxene.distributions import constraints
from pyroxene.distributions.families.counts import Counts, as_parameters
from pyroxene.distributions.tails.logarithms import log1mexp
from pyroxene.distributions.torch_distribution import EMPTY, Size
from pyroxene.ops.zeta import log_zeta

__all__ = ["Zipf"]

Tensor = torch.Tensor


class Zipf(Counts):
    """Zipf's distribution over 1, 2, ..., also called the zeta distribution.

    With s = power and Riemann's zeta function: p(k) = k^-s / zeta(s). Mean zeta(s - 1) / zeta(s) where s > 2, else
    infinite; second moment zeta(s - 2) / zeta(s) where s > 3, else infinite. The name of the parameter is TFP's;
    scipy's is a.

    Args:
        power: s, greater than 1, shape batch_shape.
        validate_args: whether to check arguments and values; None for the setting `validate_distributions_torch`.

    Source: N. L. Johnson, A. W. Kemp and S. Kotz (2005), Univariate discrete distributions, section 11.2.20.

    Example:
        >>> Zipf(2.0).log_prob(torch.tensor([1.0, 2.0])).exp()
        tensor([0.6079, 0.1520])
    """

    arg_constraints = {"power": constraints.greater_than(1.0)}
    support = constraints.positive_integer
    _tensors = ("power",)

    def __init__(self, power: Tensor | float, *, validate_args: bool | None = None) -> None:
        (self.power,) = as_parameters(power)
        super().__init__(self.power.shape, validate_args=validate_args)

    def _ends(self) -> tuple[Any, Any]:
        return 1.0, math.inf

    def sample(self, sample_shape: Size = EMPTY) -> Tensor:
        """Draw by rejection from the integer part of a Pareto variable.

        Source: L. Devroye (1986), Non-uniform random variate generation, section X.6.1.
        """
        with torch.no_grad():
            shape = self._extended_shape(sample_shape)
            rest = (self.power.double() - 1).expand(shape)
            bound = torch.exp2(rest)
            value = torch.full(shape, math.nan, dtype=torch.float64, device=self.power.device)
            while bool((waits := value.isnan()).any()):
                uniform, accept = torch.rand(2, *shape, dtype=torch.float64, device=self.power.device)
                x = (1 - uniform).pow(-1 / rest).floor()
                t = torch.exp(rest * torch.log1p(1 / x))
                relative = torch.expm1(rest * torch.log1p(1 / x)) / torch.expm1(rest * math.log(2))
                is_good = x.isfinite() & (accept * x * relative <= t / bound)
                value = torch.where(waits & is_good, x, value)
            return value.to(self.power.dtype)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log probability."""
        if self._validate_args:
            self._validate_sample(value)
        is_possible = value >= 1
        k = torch.where(is_possible, value, 1).to(self.power.dtype)
        return torch.where(is_possible, -self.power * k.log() - log_zeta(self.power), -math.inf)

    def _log_lower(self, k: Tensor) -> Tensor:
        return log1mexp(self._log_upper(k))

    def _log_upper(self, k: Tensor) -> Tensor:
        return log_zeta(self.power, k + 1) - log_zeta(self.power)

    def _moment(self, order: int) -> Tensor:
        """Mean of k^order, infinite where the power is not above order + 1."""
        exists = self.power > order + 1
        power = torch.where(exists, self.power, order + 2.0)
        return torch.where(exists, (log_zeta(power - order) - log_zeta(power)).exp(), math.inf)

    @property
    def mean(self) -> Tensor:
        """zeta(s - 1) / zeta(s)."""
        return self._moment(1)

    @property
    def variance(self) -> Tensor:
        """zeta(s - 2) / zeta(s) - mean^2."""
        second = self._moment(2)
        return torch.where(second == math.inf, math.inf, second - torch.where(second == math.inf, 0.0, self.mean) ** 2)

    @property
    def mode(self) -> Tensor:
        """1."""
        return torch.ones_like(self.power)

    def entropy(self) -> Tensor:
        """Log zeta(s) - s zeta'(s) / zeta(s)."""
        slope = torch.func.jvp(log_zeta, (self.power,), (torch.ones_like(self.power),))[1]
        return log_zeta(self.power) - self.power * slope
