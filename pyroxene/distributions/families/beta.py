"""The beta distribution on another interval, and by mean and concentration."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.distributions.utils import broadcast_all

from pyroxene.distributions import constraints
from pyroxene.distributions.families.univariate import Number, Univariate
from pyroxene.distributions.tails.incomplete import log_betainc
from pyroxene.distributions.torch import Beta
from pyroxene.distributions.torch_distribution import EMPTY, Size, validate_sample

__all__ = ["AffineBeta", "BetaProportion", "log_beta"]

_STIRLING = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156)
"""DLMF 5.11.1: the remainder of Stirling's formula is the sum of these over odd powers, right to 1e-15 from 8 on."""


def _remainder(x: torch.Tensor) -> torch.Tensor:
    """Log Gamma(x) - ((x - 1/2) log x - x + log(2 pi) / 2), for x >= 8."""
    inverse = 1 / x
    total = torch.zeros_like(x)
    for coefficient in reversed(_STIRLING):
        total = coefficient + inverse.square() * total
    return inverse * total


def log_beta(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Return the log of Euler's beta function, right to the precision where its log gamma functions would cancel.

    Source: DiDonato and Morris (1992), Algorithm 708, section 3.

    Example:
        >>> log_beta(torch.tensor(1e6), torch.tensor(0.5))
        tensor(-6.3354)
    """
    large, small = torch.maximum(a, b), torch.minimum(a, b)
    is_large = large > 8.0
    safe = torch.where(is_large, large, 8.0)
    total = safe + small
    ratio = _remainder(safe) - _remainder(total) - (safe - 0.5) * torch.log1p(small / safe)
    ratio = ratio - small * total.log() + small  # log Gamma(large) - log Gamma(large + small)
    plain = torch.where(is_large, 1.0, large)
    plain_ratio = plain.lgamma() - (plain + small).lgamma()
    return small.lgamma() + torch.where(is_large, ratio, plain_ratio)


def _log_density(c1: torch.Tensor, c0: torch.Tensor, z: torch.Tensor, rest: torch.Tensor) -> torch.Tensor:
    """Log density of a beta variable at z, given 1 - z too; -inf or inf at an end as its exponent says."""
    return _log_power(c1 - 1, z) + _log_power(c0 - 1, rest) - log_beta(c1, c0)


def _log_power(exponent: torch.Tensor, base: torch.Tensor) -> torch.Tensor:
    """Exponent log(base) for base >= 0, -inf for a negative one."""
    inside = base > 0
    at_end = torch.where(exponent > 0, -math.inf, torch.where(exponent < 0, math.inf, 0.0))
    end = torch.where(base < 0, -math.inf, at_end)
    return torch.where(inside, exponent * torch.where(inside, base, 1.0).log(), end)


def _log_cdf(c1: torch.Tensor, c0: torch.Tensor, z: torch.Tensor, rest: torch.Tensor) -> torch.Tensor:
    """Log cdf of a beta variable at any z, given 1 - z too."""
    inside = (z > 0) & (rest > 0)
    log_inside = log_betainc(c1, c0, torch.where(inside, z, 0.5), torch.where(inside, rest, 0.5).detach())
    return torch.where(inside, log_inside, torch.where(z > 0, 0.0, -math.inf))


class AffineBeta(Univariate):
    r"""Beta distribution stretched to the interval from loc to loc + scale.

    With z = (x - loc) / scale, the density is z^{concentration1 - 1} (1 - z)^{concentration0 - 1} / (scale B), where B
    is Euler's beta function of the two concentrations.

    Args:
        concentration1: weight towards the upper end, positive, shape batch_shape.
        concentration0: weight towards the lower end, positive, shape batch_shape.
        loc: lower end, shape batch_shape.
        scale: length of the interval, positive, shape batch_shape.
        validate_args: whether to check arguments and values; None for the setting `validate_distributions_torch`.

    Support: the interval [loc, loc + scale]. With n = concentration1 + concentration0, mean
    loc + scale concentration1 / n, variance scale^2 concentration1 concentration0 / (n^2 (n + 1)).

    Source: Johnson, Kotz and Balakrishnan (1995), Continuous Univariate Distributions 2, chapter 25.

    Example:
        >>> AffineBeta(2.0, 2.0, -1.0, 2.0).mean
        tensor(0.)
    """

    concentration1: torch.Tensor
    concentration0: torch.Tensor
    loc: torch.Tensor
    scale: torch.Tensor
    arg_constraints = {
        "concentration1": constraints.positive,
        "concentration0": constraints.positive,
        "loc": constraints.real,
        "scale": constraints.positive,
    }

    def __init__(
        self,
        concentration1: Number,
        concentration0: Number,
        loc: Number,
        scale: Number,
        validate_args: bool | None = None,
    ) -> None:
        self._set_parameters(
            validate_args, concentration1=concentration1, concentration0=concentration0, loc=loc, scale=scale
        )

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> constraints.Constraint:
        """The interval from `low` to `high`."""
        return constraints.interval(self.low, self.high)

    @property
    def low(self) -> torch.Tensor:
        """The lower end, shape batch_shape."""
        return self.loc

    @property
    def high(self) -> torch.Tensor:
        """The upper end, shape batch_shape."""
        return self.loc + self.scale

    @property
    def sample_size(self) -> torch.Tensor:
        """The sum of the concentrations, shape batch_shape."""
        return self.concentration1 + self.concentration0

    def _position(self, value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return (value - self.loc) / self.scale, (self.high - value) / self.scale

    def _log_density(self, value: torch.Tensor) -> torch.Tensor:
        return _log_density(self.concentration1, self.concentration0, *self._position(value)) - self.scale.log()

    def log_cdf(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log of the probability of no greater value."""
        return _log_cdf(self.concentration1, self.concentration0, *self._position(value))

    def log_survival(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log of the probability of a greater value."""
        return _log_cdf(self.concentration0, self.concentration1, *reversed(self._position(value)))

    def rsample(self, sample_shape: Size = EMPTY) -> torch.Tensor:
        """Draw a reparameterised sample, strictly inside the interval."""
        beta = Beta(self.concentration1, self.concentration0, validate_args=False).rsample(torch.Size(sample_shape))
        eps = torch.finfo(beta.dtype).eps
        return self.loc + self.scale * beta.clamp(torch.finfo(beta.dtype).tiny, 1 - eps)

    @property
    def mean(self) -> torch.Tensor:
        """The mean, shape batch_shape."""
        return self.loc + self.scale * self.concentration1 / self.sample_size

    @property
    def variance(self) -> torch.Tensor:
        """The variance, shape batch_shape."""
        n = self.sample_size
        return self.scale.square() * (self.concentration1 / n) * (self.concentration0 / n) / (n + 1)

    @property
    def mode(self) -> torch.Tensor:
        """The mode, shape batch_shape; nan where both concentrations are 1 or less, with no peak inside."""
        return self.loc + self.scale * _beta_mode(self.concentration1, self.concentration0)

    def entropy(self) -> torch.Tensor:
        """Return the entropy, in nats."""
        return self.scale.log() + _beta_entropy(self.concentration1, self.concentration0)


def _beta_mode(c1: torch.Tensor, c0: torch.Tensor) -> torch.Tensor:
    up, down = (c1 - 1).clamp(min=0), (c0 - 1).clamp(min=0)  # a concentration below 1 puts the peak at an end
    return up / (up + down)


def _beta_entropy(c1: torch.Tensor, c0: torch.Tensor) -> torch.Tensor:
    n = c1 + c0
    return log_beta(c1, c0) - (c1 - 1) * c1.digamma() - (c0 - 1) * c0.digamma() + (n - 2) * n.digamma()


class BetaProportion(Beta):
    r"""Beta distribution given by its mean and concentration.

    It is Beta(mean concentration, (1 - mean) concentration), with density
    x^{mean concentration - 1} (1 - x)^{(1 - mean) concentration - 1} / B and B Euler's beta function of the two.

    Args:
        mean: mean, between 0 and 1, shape batch_shape.
        concentration: sum of the two concentrations, positive, shape batch_shape.
        validate_args: whether to check arguments and values; None for the setting `validate_distributions_torch`.

    Support: the unit interval. Variance mean (1 - mean) / (concentration + 1).

    Source: Ferrari and Cribari-Neto (2004), Beta regression for modelling rates and proportions.

    Example:
        >>> BetaProportion(0.25, 8.0).variance
        tensor(0.0208)
    """

    concentration: torch.Tensor
    arg_constraints = {"mean": constraints.unit_interval, "concentration": constraints.positive}
    _validate_sample = validate_sample

    def __init__(self, mean: Number, concentration: Number, validate_args: bool | None = None) -> None:
        self._mean, self.concentration = broadcast_all(mean, concentration)
        super().__init__(
            self._mean * self.concentration, (1 - self._mean) * self.concentration, validate_args=validate_args
        )

    def expand(self, batch_shape: Size, _instance: Any = None) -> Any:
        """Return the distribution with a larger batch shape."""
        new = self.__new__(type(self)) if _instance is None else _instance
        shape = torch.Size(batch_shape)
        BetaProportion.__init__(new, self._mean.expand(shape), self.concentration.expand(shape), validate_args=False)
        new._validate_args = self._validate_args
        return new

    @property
    def mean(self) -> torch.Tensor:
        """The mean, shape batch_shape."""
        return self._mean

    @property
    def variance(self) -> torch.Tensor:
        """The variance, shape batch_shape."""
        return self._mean * (1 - self._mean) / (self.concentration + 1)

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log density."""
        if self._validate_args:
            self._validate_sample(value)
        return _log_density(self.concentration1, self.concentration0, value, 1 - value)

    def log_cdf(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log of the probability of no greater value."""
        return _log_cdf(self.concentration1, self.concentration0, value, 1 - value)

    def log_survival(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log of the probability of a greater value."""
        return _log_cdf(self.concentration0, self.concentration1, 1 - value, value)

    def cdf(self, value: torch.Tensor) -> torch.Tensor:
        """Return the probability of no greater value."""
        return self.log_cdf(value).exp()

    icdf = Univariate.icdf
    _inverse_cdf = None

    @property
    def mode(self) -> torch.Tensor:
        """The mode, shape batch_shape; nan where both concentrations are 1 or less, with no peak inside."""
        return _beta_mode(self.concentration1, self.concentration0)
