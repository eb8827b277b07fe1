"""Horseshoe: a prior that shrinks the small and leaves the large."""

from __future__ import annotations

import math

import torch

from pyroxene.distributions import constraints
from pyroxene.distributions.families.normal_tails import log_half_erfcx
from pyroxene.distributions.families.univariate import Number, Univariate
from pyroxene.distributions.tails.logarithms import log1mexp
from pyroxene.distributions.torch_distribution import EMPTY, Size
from pyroxene.ops.half_line import log_integral, log_scaled_e1

__all__ = ["Horseshoe"]


class Horseshoe(Univariate):
    r"""Horseshoe distribution: of a normal variable whose standard deviation is half-Cauchy distributed.

    With u = x^2 / (2 scale^2) and E1 the exponential integral, the density is e^u E1(u) / (scale sqrt(2 pi^3)); it is
    infinite at 0.

    Args:
        scale: scale of the half-Cauchy distribution, positive, shape batch_shape.
        validate_args: whether to check arguments and values; None for the setting `validate_distributions_torch`.

    Support: the real line. The mean does not exist, nor does the variance; the median is 0.

    Source: Carvalho, Polson and Scott (2010), The horseshoe estimator for sparse signals.

    Example:
        >>> Horseshoe(1.0).log_prob(torch.tensor(1.0))
        tensor(-2.1439)
    """

    scale: torch.Tensor
    arg_constraints = {"scale": constraints.positive}
    support = constraints.real

    def __init__(self, scale: Number, validate_args: bool | None = None) -> None:
        self._set_parameters(validate_args, scale=scale)

    def _log_density(self, value: torch.Tensor) -> torch.Tensor:
        z = value / self.scale
        apart = z != 0
        u = 0.5 * torch.where(apart, z, 1.0).square()
        log_tail = log_scaled_e1(u.clamp(min=torch.finfo(u.dtype).tiny))
        return torch.where(apart, log_tail - self.scale.log() - 0.5 * math.log(2 * math.pi**3), math.inf)

    def _log_tail(self, value: torch.Tensor) -> torch.Tensor:
        """Log probability beyond a value, on its side of 0: the mean of a normal tail over half-Cauchy scales."""
        distance = (value / self.scale).abs().double().unsqueeze(-1)
        unit = (1 + distance).detach()

        def log_function(t: torch.Tensor) -> torch.Tensor:
            score = distance / (unit * t)
            return log_half_erfcx(score) - 0.5 * score.square() - torch.log1p((unit * t).square())

        log_tail = log_integral(log_function, distance) + unit.squeeze(-1).log() + math.log(2 / math.pi)
        return log_tail.to(torch.result_type(value, self.scale)).clamp(max=-math.log(2))

    def log_cdf(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log of the probability of no greater value, integrated numerically."""
        log_tail = self._log_tail(value)
        return torch.where(value < 0, log_tail, log1mexp(log_tail))

    def log_survival(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log of the probability of a greater value, integrated numerically."""
        return self.log_cdf(-value)

    def rsample(self, sample_shape: Size = EMPTY) -> torch.Tensor:
        """Draw a reparameterised sample: a normal variable times a half-Cauchy one."""
        tiny = torch.finfo(self.scale.dtype).tiny
        half_cauchy = self._normal(sample_shape) / self._normal(sample_shape).abs().clamp(min=tiny)
        return self.scale * half_cauchy * self._normal(sample_shape)

    @property
    def mean(self) -> torch.Tensor:
        """nan, shape batch_shape: the mean does not exist."""
        return torch.full_like(self.scale, math.nan)

    @property
    def variance(self) -> torch.Tensor:
        """nan, shape batch_shape: the variance does not exist."""
        return torch.full_like(self.scale, math.nan)

    @property
    def mode(self) -> torch.Tensor:
        """The mode, 0, shape batch_shape."""
        return torch.zeros_like(self.scale)
