"""Truncated normal, Cauchy and Gamma distributions, which know their moments or have names of their own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from pyroxene.distributions import constraints
from pyroxene.distributions.families.truncated import (
    Bound,
    LeftTruncatedDistribution,
    RightTruncatedDistribution,
    TruncatedDistribution,
    TwoSidedTruncatedDistribution,
)
from pyroxene.distributions.torch import Cauchy, Gamma, Normal
from pyroxene.distributions.util import broadcast_shape

__all__ = [
    "LeftTruncatedGamma",
    "RightTruncatedGamma",
    "TruncatedCauchy",
    "TruncatedGamma",
    "TruncatedNormal",
    "TwoSidedTruncatedGamma",
]

_NODES, _WEIGHTS = (torch.from_numpy(part) for part in np.polynomial.legendre.leggauss(100))
"""Gauss-Legendre nodes: 100 integrate a normal density between -9 and 9 standard deviations to 1e-15."""

_LOST = 80.0
"""Where z^2 exceeds that of the mode by this much, the density is exp(-40) of its maximum and is left out."""


class _OfParameters(TruncatedDistribution):
    """Abstract: a truncated distribution made of the parameters of its base rather than of a base."""

    @classmethod
    def infer_shapes(cls, *args: Any, **arg_shapes: Sequence[int]) -> tuple[torch.Size, torch.Size]:
        """Work out batch and event shape; see `TorchDistributionMixin.infer_shapes`."""
        return torch.Size(broadcast_shape(*args, *arg_shapes.values())), torch.Size()


class TruncatedNormal(_OfParameters):
    """Normal distribution conditioned on lying in [low, high], right however far out the bounds lie.

    The density is phi((x - loc) / scale) / (scale (Phi(b) - Phi(a))) with a = (low - loc) / scale, b = (high - loc) /
    scale, phi and Phi the standard normal density and distribution function. The mean is
    loc + scale (phi(a) - phi(b)) / (Phi(b) - Phi(a)); mean and variance are computed by quadrature, as the closed
    formulas cancel in the tails.

    Args:
        loc: mean of the normal distribution, shape batch_shape.
        scale: its standard deviation, positive, shape batch_shape.
        low: lower bound, None for none, shape batch_shape.
        high: upper bound, None for none, shape batch_shape.
        validate_args: whether to check the arguments; None for the setting `validate_distributions_torch`.

    Support: [low, high]. NumPyro has a function of this name and parameters.

    Source: N. L. Johnson, S. Kotz and N. Balakrishnan (1994), Continuous Univariate Distributions, volume 1, section
        10.1.

    Example:
        >>> d = TruncatedNormal(0.0, 1.0, low=10.0)
        >>> d.mean, d.log_prob(torch.tensor(10.0))
        (tensor(10.0981), tensor(2.3123))
    """

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}
    base_dist: Normal

    def __init__(
        self,
        loc: torch.Tensor | float = 0.0,
        scale: torch.Tensor | float = 1.0,
        *,
        low: Bound = None,
        high: Bound = None,
        validate_args: bool | None = None,
    ) -> None:
        super().__init__(Normal(loc, scale, validate_args=validate_args), low, high, validate_args=validate_args)

    @property
    def loc(self) -> torch.Tensor:
        """Mean of the normal distribution, shape batch_shape."""
        return self.base_dist.loc

    @property
    def scale(self) -> torch.Tensor:
        """Standard deviation of the normal distribution, shape batch_shape."""
        return self.base_dist.scale

    def _standard_moments(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and variance in units of the normal distribution's."""
        low, high = ((end - self.loc) / self.scale if end is not None else None for end in (self.low, self.high))
        mode = torch.zeros_like(self.loc)
        mode = mode if low is None else torch.maximum(mode, low)
        mode = mode if high is None else torch.minimum(mode, high)
        reach = _LOST / (mode.abs() + (mode.square() + _LOST).sqrt())
        left = -reach if low is None else torch.maximum(low - mode, -reach)
        right = reach if high is None else torch.minimum(high - mode, reach)
        nodes, weights = _NODES.to(mode), _WEIGHTS.to(mode)
        step = (left + right).unsqueeze(-1) / 2 + (right - left).unsqueeze(-1) / 2 * nodes
        density = weights * torch.exp(-step * (mode.unsqueeze(-1) + step / 2))
        density = density / density.sum(-1, keepdim=True)
        mean = (density * step).sum(-1, keepdim=True)
        return mode + mean.squeeze(-1), (density * (step - mean).square()).sum(-1)

    @property
    def mean(self) -> torch.Tensor:
        """The mean, shape batch_shape."""
        return self.loc + self.scale * self._standard_moments()[0]

    @property
    def variance(self) -> torch.Tensor:
        """The variance, shape batch_shape."""
        return self.scale.square() * self._standard_moments()[1]

    @property
    def mode(self) -> torch.Tensor:
        """loc, or the bound nearest to it."""
        mode = self.loc if self.low is None else torch.maximum(self.loc, self.low)
        return mode if self.high is None else torch.minimum(mode, self.high)

    def entropy(self) -> torch.Tensor:
        """Return the entropy, in nats."""
        mean, variance = self._standard_moments()
        return self.log_mass() + self.scale.log() + 0.5 * (math.log(2 * math.pi) + mean.square() + variance)


class TruncatedCauchy(_OfParameters):
    """Cauchy distribution conditioned on lying in [low, high].

    The density is 1 / (scale (1 + z^2) (atan b - atan a)) with z = (x - loc) / scale, a = (low - loc) / scale and
    b = (high - loc) / scale. With both bounds the mean is loc + scale log((1 + b^2) / (1 + a^2)) / (2 (atan b - atan
    a)); with one bound or none there is no mean.

    Args:
        loc: median of the Cauchy distribution, shape batch_shape.
        scale: its half width at half maximum, positive, shape batch_shape.
        low: lower bound, None for none, shape batch_shape.
        high: upper bound, None for none, shape batch_shape.
        validate_args: whether to check the arguments; None for the setting `validate_distributions_torch`.

    Support: [low, high]. NumPyro has a function of this name and parameters.

    Source: S. Nadarajah and S. Kotz (2006), A truncated Cauchy distribution.

    Example:
        >>> TruncatedCauchy(0.0, 1.0, low=-1.0, high=1.0).log_prob(torch.tensor(0.0)).exp()
        tensor(0.6366)
    """

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}
    base_dist: Cauchy

    def __init__(
        self,
        loc: torch.Tensor | float = 0.0,
        scale: torch.Tensor | float = 1.0,
        *,
        low: Bound = None,
        high: Bound = None,
        validate_args: bool | None = None,
    ) -> None:
        super().__init__(Cauchy(loc, scale, validate_args=validate_args), low, high, validate_args=validate_args)

    @property
    def loc(self) -> torch.Tensor:
        """Median of the Cauchy distribution, shape batch_shape."""
        return self.base_dist.loc

    @property
    def scale(self) -> torch.Tensor:
        """Half width at half maximum of the Cauchy distribution, shape batch_shape."""
        return self.base_dist.scale

    def _ends(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor] | None:
        """The standardised bounds and the angle between them."""
        if self.low is None or self.high is None:
            return None
        low, high = (self.low - self.loc) / self.scale, (self.high - self.loc) / self.scale
        return low, high, torch.atan2(high - low, 1 + low * high)

    @property
    def mean(self) -> torch.Tensor:
        """The mean, nan unless there are two bounds."""
        ends = self._ends()
        if ends is None:
            return torch.full_like(self.loc, torch.nan)
        low, high, angle = ends
        ratio = torch.log1p((high - low) * (high + low) / (1 + low.square()))
        return self.loc + self.scale * ratio / (2 * angle)

    @property
    def variance(self) -> torch.Tensor:
        """The variance, nan unless there are two bounds."""
        ends = self._ends()
        if ends is None:
            return torch.full_like(self.loc, torch.nan)
        low, high, angle = ends
        centre = (self.mean - self.loc) / self.scale
        return self.scale.square() * ((high - low) / angle - 1 - centre.square())

    @property
    def mode(self) -> torch.Tensor:
        """loc, or the bound nearest to it."""
        mode = self.loc if self.low is None else torch.maximum(self.loc, self.low)
        return mode if self.high is None else torch.minimum(mode, self.high)


class TruncatedGamma(_OfParameters):
    """Gamma distribution conditioned on lying in [low, high].

    The density is rate^a x^(a - 1) e^(-rate x) / (Gamma(a) (P(a, rate high) - P(a, rate low))) with a = concentration
    and P the regularised lower incomplete gamma function. The mean is
    (a / rate) (P(a + 1, rate high) - P(a + 1, rate low)) / (P(a, rate high) - P(a, rate low)).

    Args:
        concentration: shape parameter, positive, shape batch_shape.
        rate: inverse scale, positive, shape batch_shape.
        low: lower bound, None for none, shape batch_shape.
        high: upper bound, None for none, shape batch_shape.
        validate_args: whether to check the arguments; None for the setting `validate_distributions_torch`.

    Support: the positive numbers in [low, high].

    Source: N. L. Johnson, S. Kotz and N. Balakrishnan (1994), Continuous Univariate Distributions, volume 1, section
        17.8.

    Example:
        >>> TruncatedGamma(2.0, 1.0, low=1.0).mean
        tensor(2.5000)
    """

    arg_constraints = {"concentration": constraints.positive, "rate": constraints.positive}
    base_dist: Gamma

    def __init__(
        self,
        concentration: torch.Tensor | float = 1.0,
        rate: torch.Tensor | float = 1.0,
        *,
        low: Bound = None,
        high: Bound = None,
        validate_args: bool | None = None,
    ) -> None:
        base = Gamma(concentration, rate, validate_args=validate_args)
        super().__init__(base, low, high, validate_args=validate_args)

    @property
    def concentration(self) -> torch.Tensor:
        """Shape parameter of the Gamma distribution, shape batch_shape."""
        return self.base_dist.concentration

    @property
    def rate(self) -> torch.Tensor:
        """Inverse scale of the Gamma distribution, shape batch_shape."""
        return self.base_dist.rate

    def _moment(self, power: int) -> torch.Tensor:
        """Mean of x^power: that of the Gamma distribution, times a ratio of masses."""
        shifted = Gamma(self.concentration + power, self.rate, validate_args=False)
        mass = TruncatedDistribution(shifted, self.low, self.high, validate_args=False).log_mass()
        log_moment = (self.concentration + power).lgamma() - self.concentration.lgamma() - power * self.rate.log()
        return torch.exp(log_moment + mass - self.log_mass())

    @property
    def mean(self) -> torch.Tensor:
        """The mean, shape batch_shape."""
        return self._moment(1)

    @property
    def variance(self) -> torch.Tensor:
        """The variance, shape batch_shape; it loses digits where it is small against the mean's square."""
        return self._moment(2) - self._moment(1).square()


class LeftTruncatedGamma(LeftTruncatedDistribution):
    """Gamma distribution conditioned on values of at least `low`: `LeftTruncatedDistribution` under NumPyro's name.

    The density is f(x) / (1 - F(low)); for support, moments and source see `TruncatedGamma`.

    Args:
        base_dist: a Gamma distribution, shape batch_shape.
        low: lower bound, shape batch_shape.
        validate_args: whether to check the arguments; None for the setting `validate_distributions_torch`.

    Example:
        >>> LeftTruncatedGamma(Gamma(1.0, 2.0), 3.0).log_prob(torch.tensor(3.0)).exp()
        tensor(2.)
    """


class RightTruncatedGamma(RightTruncatedDistribution):
    """Gamma distribution conditioned on values of at most `high`: `RightTruncatedDistribution` under NumPyro's name.

    The density is f(x) / F(high); for support, moments and source see `TruncatedGamma`.

    Args:
        base_dist: a Gamma distribution, shape batch_shape.
        high: upper bound, shape batch_shape.
        validate_args: whether to check the arguments; None for the setting `validate_distributions_torch`.

    Example:
        >>> RightTruncatedGamma(Gamma(1.0, 1.0)).log_prob(torch.tensor(1.0)).exp()
        tensor(0.5820)
    """

    def __init__(self, base_dist: Any, high: torch.Tensor | float = 1.0, *, validate_args: bool | None = None) -> None:
        super().__init__(base_dist, high, validate_args=validate_args)


class TwoSidedTruncatedGamma(TwoSidedTruncatedDistribution):
    """Gamma distribution conditioned on [low, high]: `TwoSidedTruncatedDistribution` under NumPyro's name.

    The density is f(x) / (F(high) - F(low)); for support, moments and source see `TruncatedGamma`.

    Args:
        base_dist: a Gamma distribution, shape batch_shape.
        low: lower bound, shape batch_shape.
        high: upper bound, greater than low, shape batch_shape.
        validate_args: whether to check the arguments; None for the setting `validate_distributions_torch`.

    Example:
        >>> TwoSidedTruncatedGamma(Gamma(1.0, 1.0), 0.0, 1.0).log_prob(torch.tensor(1.0)).exp()
        tensor(0.5820)
    """
