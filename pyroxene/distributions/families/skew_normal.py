"""Skewed relatives of the normal distribution: by selection (SkewNormal) and by addition (ExGaussian)."""

from __future__ import annotations

import math

import torch

from pyroxene.distributions import constraints
from pyroxene.distributions.families.normal_tails import (
    log_erfcx_difference,
    log_normal_cdf,
    log_tilted_normal,
)
from pyroxene.distributions.families.univariate import Number, Univariate
from pyroxene.distributions.tails.logarithms import log1mexp, log_difference
from pyroxene.distributions.torch_distribution import EMPTY, Size
from pyroxene.ops.half_line import log_integral

__all__ = ["ExGaussian", "SkewNormal"]

_HALF_LOG_TWO_PI = 0.5 * math.log(2 * math.pi)


class SkewNormal(Univariate):
    r"""Skew-normal distribution: of a normal variable, selected by the sign of another that correlates with it.

    With z = (x - loc) / scale, phi the normal density and Phi its cdf, the density is
    2 / scale phi(z) Phi(alpha z).

    Args:
        loc: location, the mean where alpha is 0, shape batch_shape.
        scale: scale, the standard deviation where alpha is 0, positive, shape batch_shape.
        alpha: shape, of the sign of the skewness, shape batch_shape; 0 for the normal distribution.
        validate_args: whether to check arguments and values; None for the setting `validate_distributions_torch`.

    Support: the real line. With d = alpha / sqrt(1 + alpha^2), mean loc + scale d sqrt(2 / pi), variance
    scale^2 (1 - 2 d^2 / pi). PyMC's `SkewNormal(mu, sigma, alpha)` has mu = loc, sigma = scale.

    Source: Azzalini (1985), A class of distributions which includes the normal ones.

    Example:
        >>> SkewNormal(0.0, 1.0, 0.0).log_prob(torch.tensor(0.0))
        tensor(-0.9189)
    """

    loc: torch.Tensor
    scale: torch.Tensor
    alpha: torch.Tensor
    arg_constraints = {"loc": constraints.real, "scale": constraints.positive, "alpha": constraints.real}
    support = constraints.real

    def __init__(
        self, loc: Number = 0.0, scale: Number = 1.0, alpha: Number = 1.0, validate_args: bool | None = None
    ) -> None:
        self._set_parameters(validate_args, loc=loc, scale=scale, alpha=alpha)

    @property
    def _delta(self) -> torch.Tensor:
        return self.alpha / torch.hypot(self.alpha, torch.ones_like(self.alpha))

    def _log_density(self, value: torch.Tensor) -> torch.Tensor:
        z = (value - self.loc) / self.scale
        log_selected = log_normal_cdf(self.alpha * z) + (math.log(2) - _HALF_LOG_TWO_PI)
        return log_selected - 0.5 * z.square() - self.scale.log()

    def log_cdf(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log of the probability of no greater value."""
        z = (value - self.loc) / self.scale
        return _one_tail(z, self.alpha)

    def log_survival(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log of the probability of a greater value."""
        z = (value - self.loc) / self.scale
        return _one_tail(-z, -self.alpha)

    def rsample(self, sample_shape: Size = EMPTY) -> torch.Tensor:
        """Draw a reparameterised sample: the sum of a half-normal and a normal variable."""
        half, whole = self._normal(sample_shape).abs(), self._normal(sample_shape)
        rest = torch.hypot(self.alpha, torch.ones_like(self.alpha)).reciprocal()
        return self.loc + self.scale * (self._delta * half + rest * whole)

    @property
    def mean(self) -> torch.Tensor:
        """The mean, shape batch_shape."""
        return self.loc + self.scale * self._delta * math.sqrt(2 / math.pi)

    @property
    def variance(self) -> torch.Tensor:
        """The variance, shape batch_shape."""
        return self.scale.square() * (1 - self._delta.square() * (2 / math.pi))


def _one_tail(z: torch.Tensor, alpha: torch.Tensor) -> torch.Tensor:
    """Log cdf of the standard skew-normal distribution, in double precision."""
    narrow, z, alpha = torch.result_type(z, alpha), z.double(), alpha.double()
    is_left = z < 0
    steep = torch.where(is_left, alpha, -alpha)
    log_beyond = _log_owen_rest(z.abs(), steep.abs())
    log_both = log_normal_cdf(-z.abs()) + math.log(2)
    log_tail = torch.where(steep > 0, log_beyond, log_difference(log_both, log_beyond))
    return torch.where(is_left, log_tail, log1mexp(log_tail)).to(narrow)


def _log_owen_rest(h: torch.Tensor, a: torch.Tensor) -> torch.Tensor:
    """Log of the integral of e^{-h^2 (1 + x^2) / 2} / (pi (1 + x^2)) over x > a: 2 T(h, inf) - 2 T(h, a), Owen's T."""
    h, a = h.unsqueeze(-1), a.unsqueeze(-1)
    scale = 1 / (h.square() * a + h + 1 / (1 + a))

    def log_function(u: torch.Tensor) -> torch.Tensor:
        step = scale.detach() * u
        return -h.square() * step * (a + 0.5 * step) - torch.log1p((a + step).square())

    log_rest = log_integral(log_function, h) + scale.detach().squeeze(-1).log() - math.log(math.pi)
    return log_rest - 0.5 * (h.square() * (1 + a.square())).squeeze(-1)


class ExGaussian(Univariate):
    r"""Exponentially modified normal distribution: the sum of a normal and an exponential variable.

    With u = (x - loc) / scale, k = scale * rate and Phi the normal cdf, the density is
    rate e^{k^2 / 2 - k u} Phi(u - k).

    Args:
        loc: mean of the normal variable, shape batch_shape.
        scale: standard deviation of the normal variable, positive, shape batch_shape.
        rate: rate of the exponential variable, positive, shape batch_shape.
        validate_args: whether to check arguments and values; None for the setting `validate_distributions_torch`.

    Support: the real line. Mean loc + 1 / rate, variance scale^2 + 1 / rate^2. PyMC's `ExGaussian(mu, sigma, nu)` has
    mu = loc, sigma = scale, nu = 1 / rate; scipy's `exponnorm` has K = 1 / (scale rate).

    Source: Grushka (1972), Characterization of exponentially modified Gaussian peaks in chromatography.

    Example:
        >>> ExGaussian(0.0, 1.0, 1.0).log_prob(torch.tensor(0.0))
        tensor(-1.3410)
    """

    loc: torch.Tensor
    scale: torch.Tensor
    rate: torch.Tensor
    arg_constraints = {"loc": constraints.real, "scale": constraints.positive, "rate": constraints.positive}
    support = constraints.real

    def __init__(self, loc: Number, scale: Number, rate: Number, validate_args: bool | None = None) -> None:
        self._set_parameters(validate_args, loc=loc, scale=scale, rate=rate)

    def _log_density(self, value: torch.Tensor) -> torch.Tensor:
        return log_tilted_normal((value - self.loc) / self.scale, self.scale * self.rate) + self.rate.log()

    def log_cdf(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log of the probability of no greater value."""
        u, k = (value - self.loc) / self.scale, self.scale * self.rate
        is_left = u < 0
        left = torch.where(is_left, -u, 1.0)
        tail = log_erfcx_difference(left, k) - 0.5 * left.square() - math.log(2)
        return torch.where(is_left, tail, log1mexp(torch.where(is_left, -1.0, self.log_survival(value))))

    def log_survival(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log of the probability of a greater value."""
        u = (value - self.loc) / self.scale
        return torch.logaddexp(log_normal_cdf(-u), log_tilted_normal(u, self.scale * self.rate))

    def rsample(self, sample_shape: Size = EMPTY) -> torch.Tensor:
        """Draw a reparameterised sample: the sum of a normal and an exponential variable."""
        return self.loc + self.scale * self._normal(sample_shape) + self._exponential(sample_shape) / self.rate

    @property
    def mean(self) -> torch.Tensor:
        """The mean, shape batch_shape."""
        return self.loc + 1 / self.rate

    @property
    def variance(self) -> torch.Tensor:
        """The variance, shape batch_shape."""
        return self.scale.square() + self.rate.square().reciprocal()
