"""Times at which a Brownian motion first reaches a level: with drift (InverseGaussian) and without (Levy)."""

from __future__ import annotations

import math

import torch

from pyroxene.distributions import constraints
from pyroxene.distributions.families.normal_tails import (
    log_erfcx_difference,
    log_half_erfcx,
    log_half_normal_cdf,
    log_half_normal_quantile,
    log_half_normal_survival,
    log_normal_cdf,
)
from pyroxene.distributions.families.univariate import EULER_GAMMA, Number, Univariate
from pyroxene.distributions.tails.logarithms import log1mexp
from pyroxene.distributions.torch_distribution import EMPTY, Size
from pyroxene.ops.half_line import log_scaled_e1

__all__ = ["InverseGaussian", "Levy", "Wald"]

_HALF_LOG_TWO_PI = 0.5 * math.log(2 * math.pi)


class InverseGaussian(Univariate):
    r"""Inverse Gaussian (Wald) distribution: when a Brownian motion with drift 1 / loc first reaches 1.

    The density is sqrt(concentration / (2 pi x^3)) e^{-concentration (x - loc)^2 / (2 loc^2 x)}.

    Args:
        loc: mean, positive, shape batch_shape.
        concentration: shape, positive, shape batch_shape; the larger, the closer to a normal distribution.
        validate_args: whether to check arguments and values; None for the setting `validate_distributions_torch`.

    Support: positive numbers. Mean loc, variance loc^3 / concentration. PyMC's `Wald(mu, lam, alpha)` has mu = loc,
    lam = concentration, and adds alpha; scipy's `invgauss(mu, scale)` has mu = loc / concentration,
    scale = concentration.

    Source: Chhikara and Folks (1989), The inverse Gaussian distribution.

    Example:
        >>> InverseGaussian(1.0, 1.0).log_prob(torch.tensor(1.0))
        tensor(-0.9189)
    """

    loc: torch.Tensor
    concentration: torch.Tensor
    arg_constraints = {"loc": constraints.positive, "concentration": constraints.positive}
    support = constraints.positive

    def __init__(self, loc: Number, concentration: Number, validate_args: bool | None = None) -> None:
        self._set_parameters(validate_args, loc=loc, concentration=concentration)

    def _log_density(self, value: torch.Tensor) -> torch.Tensor:
        inside = value > 0
        x = torch.where(inside, value, 1.0)
        quadratic = 0.5 * self.concentration * ((x - self.loc) / self.loc).square() / x
        density = 0.5 * self.concentration.log() - _HALF_LOG_TWO_PI - 1.5 * x.log() - quadratic
        return torch.where(inside, density, -math.inf)

    def _roots(self, value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Whether a value is positive; a and b, of which F = Phi(a) + e^{(b^2 - a^2) / 2} Phi(-b); and b - a."""
        inside = value > 0
        x = torch.where(inside, value, 1.0)
        root = (self.concentration / x).sqrt()
        return inside, root * ((x - self.loc) / self.loc), root * (x / self.loc + 1), 2 * root

    def log_cdf(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log of the probability of no greater value."""
        inside, a, b, _ = self._roots(value)
        reflected = log_half_erfcx(b) - 0.5 * a.square()
        total = torch.logaddexp(log_normal_cdf(a), reflected)
        return torch.where(inside, total.clamp(max=0.0), -math.inf)

    def log_survival(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log of the probability of a greater value."""
        inside, a, _, difference = self._roots(value)
        is_right = a > 0
        right = torch.where(is_right, a, 1.0)
        tail = log_erfcx_difference(right, difference) - math.log(2) - 0.5 * right.square()
        log_cdf = torch.where(inside & ~is_right, self.log_cdf(value), -1.0)
        return torch.where(inside, torch.where(is_right, tail, log1mexp(log_cdf)), 0.0)

    def rsample(self, sample_shape: Size = EMPTY) -> torch.Tensor:
        """Draw a sample whose gradient is that of the implicit function given by the cdf.

        Source: Michael, Schucany and Haas (1976), Generating random variates using transformations with multiple roots.
        """
        with torch.no_grad():
            w = 0.5 * (self.loc / self.concentration) * self._normal(sample_shape).square()
            ratio = 1 + w + (w * (2 + w)).sqrt()
            value = torch.where(torch.rand_like(ratio) < ratio / (1 + ratio), self.loc / ratio, self.loc * ratio)
            value = value.clamp(min=torch.finfo(value.dtype).tiny)
        return self._reparameterised(value)

    @property
    def mean(self) -> torch.Tensor:
        """The mean, shape batch_shape."""
        return self.loc

    @property
    def variance(self) -> torch.Tensor:
        """The variance, shape batch_shape."""
        return self.loc**3 / self.concentration

    @property
    def mode(self) -> torch.Tensor:
        """The mode, shape batch_shape."""
        q = 1.5 * self.loc / self.concentration
        return self.loc / (torch.hypot(q, torch.ones_like(q)) + q)

    def entropy(self) -> torch.Tensor:
        """Return the entropy, in nats."""
        mean_log = self.loc.log() - torch.exp(log_scaled_e1(2 * self.concentration / self.loc))
        return 0.5 - 0.5 * self.concentration.log() + _HALF_LOG_TWO_PI + 1.5 * mean_log


Wald = InverseGaussian
"""Another name of InverseGaussian, PyMC's."""


class Levy(Univariate):
    r"""Lévy distribution: when a Brownian motion without drift first reaches a level.

    With d = x - loc, the density is sqrt(scale / (2 pi d^3)) e^{-scale / (2 d)} and the cdf erfc(sqrt(scale / (2 d))).
    It is the stable distribution of stability 1/2 and skew 1.

    Args:
        loc: lower end, shape batch_shape.
        scale: square of the level, positive, shape batch_shape.
        validate_args: whether to check arguments and values; None for the setting `validate_distributions_torch`.

    Support: numbers greater than loc. Mean and variance are infinite; the mode is loc + scale / 3.

    Source: Nolan (2020), Univariate stable distributions, section 1.1.

    Example:
        >>> Levy(0.0, 1.0).log_prob(torch.tensor(1.0))
        tensor(-1.4189)
    """

    loc: torch.Tensor
    scale: torch.Tensor
    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}

    def __init__(self, loc: Number, scale: Number, validate_args: bool | None = None) -> None:
        self._set_parameters(validate_args, loc=loc, scale=scale)

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> constraints.Constraint:
        """Numbers from loc on; at loc itself, to which a sample may round, the density is 0."""
        return constraints.greater_than_eq(self.loc)

    def _log_ratio(self, value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Whether a value lies in the support, and log(d / scale)."""
        inside = value > self.loc
        return inside, torch.where(inside, value - self.loc, 1.0).log() - self.scale.log()

    def _log_density(self, value: torch.Tensor) -> torch.Tensor:
        inside, log_ratio = self._log_ratio(value)
        density = -self.scale.log() - _HALF_LOG_TWO_PI - 1.5 * log_ratio - 0.5 * torch.exp(-log_ratio)
        return torch.where(inside, density, -math.inf)

    def log_cdf(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log of the probability of no greater value."""
        inside, log_ratio = self._log_ratio(value)
        return torch.where(inside, log_half_normal_survival(torch.exp(-0.5 * log_ratio)), -math.inf)

    def log_survival(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log of the probability of a greater value."""
        inside, log_ratio = self._log_ratio(value)
        return torch.where(inside, log_half_normal_cdf(-0.5 * log_ratio), 0.0)

    def _inverse_cdf(self, log_cdf: torch.Tensor, log_survival: torch.Tensor) -> torch.Tensor:
        return self.loc + self.scale * torch.exp(-2 * log_half_normal_quantile(log_survival, log_cdf))

    def rsample(self, sample_shape: Size = EMPTY) -> torch.Tensor:
        """Draw a reparameterised sample: the inverse of the square of a normal variable."""
        info = torch.finfo(self.loc.dtype)
        return self.loc + self.scale * self._normal(sample_shape).square().clamp(min=info.tiny).reciprocal()

    @property
    def mean(self) -> torch.Tensor:
        """Infinity, shape batch_shape."""
        return torch.full_like(self.loc, math.inf)

    @property
    def variance(self) -> torch.Tensor:
        """Infinity, shape batch_shape."""
        return torch.full_like(self.loc, math.inf)

    @property
    def mode(self) -> torch.Tensor:
        """The mode, shape batch_shape."""
        return self.loc + self.scale / 3

    def entropy(self) -> torch.Tensor:
        """Return the entropy, in nats."""
        return self.scale.log() + 0.5 * (1 + 3 * EULER_GAMMA + math.log(16 * math.pi))
