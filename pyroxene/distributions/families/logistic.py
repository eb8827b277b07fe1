"""The logistic distribution and its kin: skewed, and on a logarithmic scale."""

from __future__ import annotations

import math

import torch
from torch.nn.functional import logsigmoid, softplus

from pyroxene.distributions import constraints
from pyroxene.distributions.families.univariate import EULER_GAMMA, Number, Univariate, log_minus_log
from pyroxene.distributions.tails.logarithms import log1mexpexp

__all__ = ["Dagum", "Logistic", "SkewLogistic"]


class Logistic(Univariate):
    r"""Logistic distribution, with tails heavier than the normal distribution's.

    With z = (x - loc) / scale, the density is e^{-z} / (scale (1 + e^{-z})^2) and the cdf 1 / (1 + e^{-z}).

    Args:
        loc: mean, median and mode, shape batch_shape.
        scale: scale, sqrt(3) / pi times the standard deviation, positive, shape batch_shape.
        validate_args: whether to check arguments and values; None for the setting `validate_distributions_torch`.

    Support: the real line. Mean loc, variance (pi scale)^2 / 3.

    Source: Johnson, Kotz and Balakrishnan (1995), Continuous Univariate Distributions 2, chapter 23.

    Example:
        >>> Logistic(0.0, 1.0).log_prob(torch.tensor(0.0))
        tensor(-1.3863)
    """

    loc: torch.Tensor
    scale: torch.Tensor
    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.real

    def __init__(self, loc: Number, scale: Number, validate_args: bool | None = None) -> None:
        self._set_parameters(validate_args, loc=loc, scale=scale)

    def _log_density(self, value: torch.Tensor) -> torch.Tensor:
        distance = ((value - self.loc) / self.scale).abs()
        return -distance - 2 * torch.log1p(torch.exp(-distance)) - self.scale.log()

    def log_cdf(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log of the probability of no greater value."""
        return logsigmoid((value - self.loc) / self.scale)

    def log_survival(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log of the probability of a greater value."""
        return logsigmoid((self.loc - value) / self.scale)

    def _inverse_cdf(self, log_cdf: torch.Tensor, log_survival: torch.Tensor) -> torch.Tensor:
        return self.loc + self.scale * (log_cdf - log_survival)

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
        return self.scale.square() * (math.pi**2 / 3)

    def entropy(self) -> torch.Tensor:
        """Return the entropy, in nats."""
        return self.scale.log() + 2


class SkewLogistic(Univariate):
    r"""Skewed logistic distribution (generalised logistic of type I), whose cdf is a power of the logistic one.

    With z = (x - loc) / scale, the cdf is (1 + e^{-z})^{-asymmetry} and the density
    asymmetry e^{-z} / (scale (1 + e^{-z})^{asymmetry + 1}).

    Args:
        loc: the mode where asymmetry is 1, shape batch_shape.
        scale: scale, positive, shape batch_shape.
        asymmetry: positive, shape batch_shape; 1 for the logistic distribution, less for a heavier left tail.
        validate_args: whether to check arguments and values; None for the setting `validate_distributions_torch`.

    Support: the real line. Mean loc + scale (psi(asymmetry) - psi(1)), variance
    scale^2 (psi'(asymmetry) + pi^2 / 6), with psi the digamma function.

    Source: Johnson, Kotz and Balakrishnan (1995), Continuous Univariate Distributions 2, section 23.10.

    Example:
        >>> SkewLogistic(0.0, 1.0, 2.0).cdf(torch.tensor(0.0))
        tensor(0.2500)
    """

    loc: torch.Tensor
    scale: torch.Tensor
    asymmetry: torch.Tensor
    arg_constraints = {"loc": constraints.real, "scale": constraints.positive, "asymmetry": constraints.positive}
    support = constraints.real

    def __init__(self, loc: Number, scale: Number, asymmetry: Number = 1.0, validate_args: bool | None = None) -> None:
        self._set_parameters(validate_args, loc=loc, scale=scale, asymmetry=asymmetry)

    def _log_density(self, value: torch.Tensor) -> torch.Tensor:
        z = (value - self.loc) / self.scale
        return self.asymmetry.log() - self.scale.log() + self.asymmetry * logsigmoid(z) + logsigmoid(-z)

    def log_cdf(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log of the probability of no greater value."""
        return self.asymmetry * logsigmoid((value - self.loc) / self.scale)

    def log_survival(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log of the probability of a greater value."""
        return _log_survival_of_power((value - self.loc) / self.scale, self.asymmetry)

    def _inverse_cdf(self, log_cdf: torch.Tensor, log_survival: torch.Tensor) -> torch.Tensor:
        return self.loc + self.scale * _logit_of_root(log_cdf, log_survival, self.asymmetry)

    @property
    def mean(self) -> torch.Tensor:
        """The mean, shape batch_shape."""
        return self.loc + self.scale * (self.asymmetry.digamma() + EULER_GAMMA)

    @property
    def mode(self) -> torch.Tensor:
        """The mode, shape batch_shape."""
        return self.loc + self.scale * self.asymmetry.log()

    @property
    def variance(self) -> torch.Tensor:
        """The variance, shape batch_shape."""
        return self.scale.square() * (torch.polygamma(1, self.asymmetry) + math.pi**2 / 6)

    def entropy(self) -> torch.Tensor:
        """Return the entropy, in nats."""
        return self.scale.log() - self.asymmetry.log() + 1 + (self.asymmetry + 1).digamma() + EULER_GAMMA


def _log_survival_of_power(z: torch.Tensor, power: torch.Tensor) -> torch.Tensor:
    """log(1 - sigmoid(z)^power)."""
    far = z > 40.0  # there e^-z is below the precision of 1
    log_softplus = torch.where(far, -z, softplus(-torch.where(far, 0.0, z)).log())
    return log1mexpexp(power.log() + log_softplus)


def _logit_of_root(log_cdf: torch.Tensor, log_survival: torch.Tensor, power: torch.Tensor) -> torch.Tensor:
    """The z at which sigmoid(z)^power is the cdf."""
    log_minus_log_root = log_minus_log(log_cdf, log_survival) - power.log()
    return -torch.exp(log_minus_log_root) - log1mexpexp(log_minus_log_root)


class Dagum(Univariate):
    r"""Dagum distribution of incomes: the exponential of a skewed logistic variable.

    The cdf is (1 + (x / scale)^{-sharpness})^{-concentration}; the density is
    concentration sharpness / x (x / scale)^{sharpness concentration} / ((x / scale)^sharpness + 1)^{concentration + 1}.

    Args:
        concentration: shape p of the left tail, positive, shape batch_shape.
        sharpness: shape a of both tails, positive, shape batch_shape.
        scale: scale b, the median where concentration is 1, positive, shape batch_shape.
        validate_args: whether to check arguments and values; None for the setting `validate_distributions_torch`.

    Support: positive numbers. The k-th moment is scale^k Gamma(concentration + k / sharpness)
    Gamma(1 - k / sharpness) / Gamma(concentration) for sharpness > k, and infinite otherwise.

    Source: Kleiber (2008), A guide to the Dagum distributions.

    Example:
        >>> Dagum(1.0, 2.0, 3.0).cdf(torch.tensor(3.0))
        tensor(0.5000)
    """

    concentration: torch.Tensor
    sharpness: torch.Tensor
    scale: torch.Tensor
    arg_constraints = {
        "concentration": constraints.positive,
        "sharpness": constraints.positive,
        "scale": constraints.positive,
    }
    support = constraints.positive

    def __init__(
        self, concentration: Number, sharpness: Number, scale: Number, validate_args: bool | None = None
    ) -> None:
        self._set_parameters(validate_args, concentration=concentration, sharpness=sharpness, scale=scale)

    def _z(self, value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Log of a value and the argument of the logistic function, for positive values; others are made 1."""
        log_value = torch.where(value > 0, value, 1.0).log()
        return log_value, self.sharpness * (log_value - self.scale.log())

    def _log_density(self, value: torch.Tensor) -> torch.Tensor:
        log_value, z = self._z(value)
        power = self.concentration.log() + self.sharpness.log() + self.concentration * logsigmoid(z) + logsigmoid(-z)
        return torch.where(value > 0, power - log_value, -math.inf)

    def log_cdf(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log of the probability of no greater value."""
        return torch.where(value > 0, self.concentration * logsigmoid(self._z(value)[1]), -math.inf)

    def log_survival(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log of the probability of a greater value."""
        return torch.where(value > 0, _log_survival_of_power(self._z(value)[1], self.concentration), 0.0)

    def _inverse_cdf(self, log_cdf: torch.Tensor, log_survival: torch.Tensor) -> torch.Tensor:
        return self.scale * torch.exp(_logit_of_root(log_cdf, log_survival, self.concentration) / self.sharpness)

    def _moment(self, k: int) -> torch.Tensor:
        step = k / self.sharpness
        exists = step < 1
        safe = torch.where(exists, step, 0.5)
        log_moment = (self.concentration + safe).lgamma() - self.concentration.lgamma() + (1 - safe).lgamma()
        return torch.where(exists, torch.exp(log_moment + k * self.scale.log()), math.inf)

    @property
    def mean(self) -> torch.Tensor:
        """The mean, shape batch_shape; infinite where sharpness is 1 or less."""
        return self._moment(1)

    @property
    def variance(self) -> torch.Tensor:
        """The variance, shape batch_shape; infinite where sharpness is 2 or less, nan where the mean is infinite."""
        return self._moment(2) - self._moment(1).square()

    @property
    def mode(self) -> torch.Tensor:
        """The mode, shape batch_shape; 0 where the density falls from there."""
        ratio = (self.sharpness * self.concentration - 1) / (self.sharpness + 1)
        inside = ratio > 0
        return torch.where(inside, self.scale * torch.where(inside, ratio, 1.0) ** (1 / self.sharpness), 0.0)

    def entropy(self) -> torch.Tensor:
        """Return the entropy, in nats."""
        c, a = self.concentration, self.sharpness
        log_mean = self.scale.log() + (c.digamma() + EULER_GAMMA) / a
        return log_mean - (c * a).log() + 1 + (c + 1).digamma() + EULER_GAMMA
