"""Distributions of extremes and of lifetimes, whose cdf or survival function is a double exponential, and Moyal's."""

from __future__ import annotations

import math

import torch

from pyroxene.distributions import constraints
from pyroxene.distributions.families.normal_tails import (
    log_half_normal_cdf,
    log_half_normal_quantile,
    log_half_normal_survival,
)
from pyroxene.distributions.families.smooth_ratios import expm1_ratio, log1p_ratio
from pyroxene.distributions.families.univariate import EULER_GAMMA, Number, Univariate, log_minus_log
from pyroxene.distributions.tails.logarithms import log1mexpexp
from pyroxene.distributions.torch_distribution import EMPTY, Size
from pyroxene.ops.half_line import log_scaled_e1

__all__ = ["GeneralizedExtremeValue", "Gompertz", "Moyal"]

_ZETA = {2: math.pi**2 / 6, 3: 1.2020569031595942854, 4: math.pi**4 / 90, 5: 1.0369277551433699263}


class GeneralizedExtremeValue(Univariate):
    r"""Generalised extreme value distribution: the limit of the maximum of many values.

    With z = (x - loc) / scale and t = (1 + concentration z)^{-1 / concentration}, or t = e^{-z} where concentration is
    0, the cdf is e^{-t} and the density t^{concentration + 1} e^{-t} / scale.

    Args:
        loc: location, of which the cdf is 1 / e, shape batch_shape.
        scale: scale, positive, shape batch_shape.
        concentration: shape xi of the tail, shape batch_shape: positive for a heavy right tail (Fréchet), 0 for an
            exponential one (Gumbel), negative for an upper end (reversed Weibull).
        validate_args: whether to check arguments and values; None for the setting `validate_distributions_torch`.

    Support: where 1 + concentration z > 0. It depends on the parameters from both sides, so `support` is the real line
    and the log density outside -inf. Mean loc + scale (Gamma(1 - xi) - 1) / xi for xi < 1, variance
    scale^2 (Gamma(1 - 2 xi) - Gamma(1 - xi)^2) / xi^2 for xi < 1 / 2. scipy's `genextreme` has c = -xi.

    Source: Coles (2001), An introduction to statistical modeling of extreme values, section 3.1.

    Example:
        >>> GeneralizedExtremeValue(0.0, 1.0, 0.0).log_prob(torch.tensor(0.0))
        tensor(-1.)
    """

    loc: torch.Tensor
    scale: torch.Tensor
    concentration: torch.Tensor
    arg_constraints = {"loc": constraints.real, "scale": constraints.positive, "concentration": constraints.real}
    support = constraints.real

    def __init__(self, loc: Number, scale: Number, concentration: Number, validate_args: bool | None = None) -> None:
        self._set_parameters(validate_args, loc=loc, scale=scale, concentration=concentration)

    def _gumbel(self, value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Whether a value lies in the support, and -log t: the value on the scale of a Gumbel variable."""
        z = (value - self.loc) / self.scale
        w = self.concentration * z
        inside = w > -1
        return inside, torch.where(inside, z, 0.0) * log1p_ratio(torch.where(inside, w, 0.0))

    def _log_density(self, value: torch.Tensor) -> torch.Tensor:
        inside, y = self._gumbel(value)
        density = -self.scale.log() - (1 + self.concentration) * y - torch.exp(-y)
        return torch.where(inside, density, -math.inf)

    def log_cdf(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log of the probability of no greater value."""
        inside, y = self._gumbel(value)
        return torch.where(inside, -torch.exp(-y), torch.where(self.concentration > 0, -math.inf, 0.0))

    def log_survival(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log of the probability of a greater value."""
        inside, y = self._gumbel(value)
        return torch.where(inside, log1mexpexp(-y), torch.where(self.concentration > 0, 0.0, -math.inf))

    def _inverse_cdf(self, log_cdf: torch.Tensor, log_survival: torch.Tensor) -> torch.Tensor:
        y = -log_minus_log(log_cdf, log_survival)
        return self.loc + self.scale * y * expm1_ratio(self.concentration * y)

    @property
    def mean(self) -> torch.Tensor:
        """The mean, shape batch_shape; infinite where concentration is 1 or more."""
        exists = self.concentration < 1
        xi = torch.where(exists, self.concentration, 0.0)
        log_gamma = (1 - xi).lgamma()
        is_small = xi.abs() < 1e-4  # there (Gamma(1 - xi) - 1) / xi cancels, and three terms of its series are enough
        safe = torch.where(is_small, 0.5, xi)
        second = EULER_GAMMA**2 + _ZETA[2]
        third = EULER_GAMMA**3 + 3 * EULER_GAMMA * _ZETA[2] + 2 * _ZETA[3]
        series = EULER_GAMMA + xi * (second / 2 + xi * third / 6)
        shift = torch.where(is_small, series, torch.expm1(log_gamma) / safe)
        return torch.where(exists, self.loc + self.scale * shift, math.inf)

    @property
    def variance(self) -> torch.Tensor:
        """The variance, shape batch_shape; infinite where concentration is 1/2 or more, nan where the mean is."""
        exists = self.concentration < 0.5
        xi = torch.where(exists, self.concentration, 0.0)
        log_gamma = (1 - xi).lgamma()
        is_small = xi.abs() < 3e-3
        safe = torch.where(is_small, -0.5, xi)
        excess = torch.expm1((1 - 2 * safe).lgamma() - 2 * (1 - safe).lgamma()) / safe.square()
        # log Gamma(1 - 2 xi) - 2 log Gamma(1 - xi) is the sum over k >= 2 of zeta(k) (2^k - 2) / k xi^k
        series = sum((_ZETA[k] * (2**k - 2) / k * xi ** (k - 2) for k in _ZETA), torch.zeros_like(xi))
        series = series * expm1_ratio(series * xi.square())
        variance = self.scale.square() * torch.exp(2 * log_gamma) * torch.where(is_small, series, excess)
        return torch.where(exists, variance, torch.where(self.concentration < 1, math.inf, math.nan))

    @property
    def mode(self) -> torch.Tensor:
        """The mode, shape batch_shape; the upper end where concentration is -1 or less."""
        inside = self.concentration > -1
        xi = torch.where(inside, self.concentration, 0.0)
        log_rise = torch.log1p(xi)
        end = -1 / torch.where(inside, -1.0, self.concentration)
        return self.loc + self.scale * torch.where(inside, -log_rise * expm1_ratio(-xi * log_rise), end)

    def entropy(self) -> torch.Tensor:
        """Return the entropy, in nats."""
        return self.scale.log() + EULER_GAMMA * (1 + self.concentration) + 1


class Moyal(Univariate):
    r"""Moyal distribution of the energy that a charged particle loses: of -log of a chi-squared variable.

    With z = (x - loc) / scale, the density is e^{-(z + e^{-z}) / 2} / (sqrt(2 pi) scale) and the cdf
    erfc(e^{-z / 2} / sqrt(2)).

    Args:
        loc: mode, shape batch_shape.
        scale: scale, positive, shape batch_shape.
        validate_args: whether to check arguments and values; None for the setting `validate_distributions_torch`.

    Support: the real line. Mean loc + scale (log 2 + gamma) with Euler's gamma, variance (pi scale)^2 / 2.

    Source: Moyal (1955), Theory of ionization fluctuations.

    Example:
        >>> Moyal(0.0, 1.0).log_prob(torch.tensor(0.0))
        tensor(-1.4189)
    """

    loc: torch.Tensor
    scale: torch.Tensor
    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.real

    def __init__(self, loc: Number = 0.0, scale: Number = 1.0, validate_args: bool | None = None) -> None:
        self._set_parameters(validate_args, loc=loc, scale=scale)

    def _log_density(self, value: torch.Tensor) -> torch.Tensor:
        z = (value - self.loc) / self.scale
        return -0.5 * (z + torch.exp(-z)) - self.scale.log() - 0.5 * math.log(2 * math.pi)

    def log_cdf(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log of the probability of no greater value."""
        return log_half_normal_survival(torch.exp(-0.5 * (value - self.loc) / self.scale))

    def log_survival(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log of the probability of a greater value."""
        return log_half_normal_cdf(-0.5 * (value - self.loc) / self.scale)

    def _inverse_cdf(self, log_cdf: torch.Tensor, log_survival: torch.Tensor) -> torch.Tensor:
        return self.loc - 2 * self.scale * log_half_normal_quantile(log_survival, log_cdf)

    def rsample(self, sample_shape: Size = EMPTY) -> torch.Tensor:
        """Draw a reparameterised sample: minus the log of the square of a normal variable."""
        noise = self._normal(sample_shape).abs().clamp(min=torch.finfo(self.loc.dtype).tiny)
        return self.loc - 2 * self.scale * noise.log()

    @property
    def mean(self) -> torch.Tensor:
        """The mean, shape batch_shape."""
        return self.loc + self.scale * (EULER_GAMMA + math.log(2))

    @property
    def mode(self) -> torch.Tensor:
        """The mode, shape batch_shape."""
        return self.loc

    @property
    def variance(self) -> torch.Tensor:
        """The variance, shape batch_shape."""
        return self.scale.square() * (math.pi**2 / 2)

    def entropy(self) -> torch.Tensor:
        """Return the entropy, in nats."""
        return self.scale.log() + 0.5 * (math.log(2 * math.pi) + EULER_GAMMA + math.log(2) + 1)


class Gompertz(Univariate):
    r"""Gompertz distribution of lifetimes, whose hazard rises exponentially with age.

    The density is concentration rate e^{rate x - concentration (e^{rate x} - 1)}, the survival function
    e^{-concentration (e^{rate x} - 1)} and the hazard concentration rate e^{rate x}.

    Args:
        concentration: hazard at age 0 in units of rate, positive, shape batch_shape.
        rate: rate at which the log of the hazard rises, positive, shape batch_shape.
        validate_args: whether to check arguments and values; None for the setting `validate_distributions_torch`.

    Support: numbers of at least 0. Mean e^concentration E1(concentration) / rate with E1 the exponential integral;
    the variance is not closed. The mode is max(0, -log(concentration) / rate).

    Source: Lenart (2014), The moments of the Gompertz distribution.

    Example:
        >>> Gompertz(1.0, 2.0).log_prob(torch.tensor(0.0))
        tensor(0.6931)
    """

    concentration: torch.Tensor
    rate: torch.Tensor
    arg_constraints = {"concentration": constraints.positive, "rate": constraints.positive}
    support = constraints.nonnegative

    def __init__(self, concentration: Number, rate: Number = 1.0, validate_args: bool | None = None) -> None:
        self._set_parameters(validate_args, concentration=concentration, rate=rate)

    def _log_density(self, value: torch.Tensor) -> torch.Tensor:
        inside = value >= 0
        age = self.rate * torch.where(inside, value, 0.0)
        density = self.concentration.log() + self.rate.log() + age - self.concentration * torch.expm1(age)
        return torch.where(inside, density, -math.inf)

    def log_cdf(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log of the probability of no greater value."""
        inside = value > 0
        age = self.rate * torch.where(inside, value, 1.0)
        return torch.where(inside, log1mexpexp(self.concentration.log() + torch.expm1(age).log()), -math.inf)

    def log_survival(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log of the probability of a greater value."""
        return -self.concentration * torch.expm1(self.rate * value.clamp(min=0))

    def _inverse_cdf(self, log_cdf: torch.Tensor, log_survival: torch.Tensor) -> torch.Tensor:
        hazard = torch.exp(log_minus_log(log_survival, log_cdf))
        return torch.log1p(hazard / self.concentration) / self.rate

    @property
    def mean(self) -> torch.Tensor:
        """The mean, shape batch_shape."""
        return torch.exp(log_scaled_e1(self.concentration)) / self.rate

    @property
    def mode(self) -> torch.Tensor:
        """The mode, shape batch_shape."""
        return (-self.concentration.log()).clamp(min=0) / self.rate

    def entropy(self) -> torch.Tensor:
        """Return the entropy, in nats."""
        scaled_e1 = torch.exp(log_scaled_e1(self.concentration))
        return 1 - self.concentration.log() - self.rate.log() - scaled_e1
