"""GeneralizedNormal: a symmetric density with any power in its exponent, from Laplace through normal to uniform."""

from __future__ import annotations

import math

import torch

from pyroxene.distributions import constraints
from pyroxene.distributions.families.univariate import Number, Univariate
from pyroxene.distributions.tails.incomplete import log_gammaincc
from pyroxene.distributions.torch_distribution import EMPTY, Size

__all__ = ["GeneralizedNormal"]


class GeneralizedNormal(Univariate):
    r"""Generalised normal (exponential power) distribution.

    The density is power / (2 scale Gamma(1 / power)) e^{-(|x - loc| / scale)^power}.

    Args:
        loc: mean, median and mode, shape batch_shape.
        scale: scale, positive, shape batch_shape; sqrt(2) times the standard deviation where power is 2.
        power: power in the exponent, positive, shape batch_shape: 1 for a Laplace distribution, 2 for a normal one;
            it tends to a uniform one with half width `scale` as the power grows.
        validate_args: whether to check arguments and values; None for the setting `validate_distributions_torch`.

    Support: the real line. Mean loc, variance scale^2 Gamma(3 / power) / Gamma(1 / power). scipy's `gennorm` has
    beta = power.

    Source: Nadarajah (2005), A generalized normal distribution.

    Example:
        >>> GeneralizedNormal(0.0, 1.0, 1.0).log_prob(torch.tensor(0.0))
        tensor(-0.6931)
    """

    loc: torch.Tensor
    scale: torch.Tensor
    power: torch.Tensor
    arg_constraints = {"loc": constraints.real, "scale": constraints.positive, "power": constraints.positive}
    support = constraints.real

    def __init__(self, loc: Number, scale: Number, power: Number, validate_args: bool | None = None) -> None:
        self._set_parameters(validate_args, loc=loc, scale=scale, power=power)

    def _exponent(self, value: torch.Tensor) -> torch.Tensor:
        """(|x - loc| / scale)^power, with a gradient of 0 at loc, where there may be none."""
        distance = (value - self.loc).abs() / self.scale
        apart = distance > 0
        return torch.where(apart, torch.where(apart, distance, 1.0) ** self.power, 0.0)

    def _log_density(self, value: torch.Tensor) -> torch.Tensor:
        log_normalizer = math.log(2) + self.scale.log() + (1 + 1 / self.power).lgamma()
        return -self._exponent(value) - log_normalizer

    def log_cdf(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log of the probability of no greater value."""
        exponent = self._exponent(value)
        apart = exponent > 0
        log_outer = log_gammaincc(1 / self.power, torch.where(apart, exponent, 1.0))
        log_tail = torch.where(apart, log_outer, 0.0) - math.log(2)
        return torch.where(value < self.loc, log_tail, torch.log1p(-torch.exp(log_tail)))

    def log_survival(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log of the probability of a greater value."""
        return self.log_cdf(2 * self.loc - value)

    def rsample(self, sample_shape: Size = EMPTY) -> torch.Tensor:
        """Draw a reparameterised sample: a root of a gamma variable with a random sign."""
        inverse = (1 / self.power).expand(self.shape(sample_shape))
        # Gamma(a) is Gamma(a + 1) U^{1 / a}; so split, the root does not underflow for a large power
        noise = torch._standard_gamma(inverse + 1) ** inverse * torch.exp(-self._exponential(sample_shape))
        sign = torch.where(torch.rand_like(noise) < 0.5, -1.0, 1.0)
        return self.loc + self.scale * sign * noise

    @property
    def mean(self) -> torch.Tensor:
        """The mean, shape batch_shape."""
        return self.loc

    @property
    def mode(self) -> torch.Tensor:
        """The mode, shape batch_shape."""
        return self.loc

    @property
    def variance(self) -> torch.Tensor:
        """The variance, shape batch_shape."""
        inverse = 1 / self.power
        return self.scale.square() * torch.exp((1 + 3 * inverse).lgamma() - (1 + inverse).lgamma()) / 3

    def entropy(self) -> torch.Tensor:
        """Return the entropy, in nats."""
        inverse = 1 / self.power
        return inverse + math.log(2) + self.scale.log() + (1 + inverse).lgamma()
