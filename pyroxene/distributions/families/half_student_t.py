"""HalfStudentT: the absolute value of a Student's t variable, a prior for scales."""

from __future__ import annotations

import math

import torch

from pyroxene.distributions import constraints
from pyroxene.distributions.families.beta import log_beta
from pyroxene.distributions.families.univariate import Number, Univariate
from pyroxene.distributions.tails.incomplete import log_betainc
from pyroxene.distributions.torch_distribution import EMPTY, Size

__all__ = ["HalfStudentT"]

_FAR = 60.0
"""e^-60 is far below the precision of 1, e^60 still a float32."""


class HalfStudentT(Univariate):
    r"""Half of Student's t distribution, the absolute value of a t variable around 0.

    The density is 2 (1 + (x / scale)^2 / df)^{-(df + 1) / 2} / (scale sqrt(df) B(df / 2, 1 / 2)) with B Euler's beta
    function.

    Args:
        df: degrees of freedom, positive, shape batch_shape; 1 for a half-Cauchy distribution.
        scale: scale of the t variable, positive, shape batch_shape.
        validate_args: whether to check arguments and values; None for the setting `validate_distributions_torch`.

    Support: numbers of at least 0. Mean m = 2 scale sqrt(df) / ((df - 1) B(df / 2, 1 / 2)) for df > 1, variance
    scale^2 df / (df - 2) - m^2 for df > 2. PyMC's `HalfStudentT(nu, sigma)` has nu = df, sigma = scale.

    Source: Gelman (2006), Prior distributions for variance parameters in hierarchical models.

    Example:
        >>> HalfStudentT(1.0, 2.0).cdf(torch.tensor(2.0))
        tensor(0.5000)
    """

    df: torch.Tensor
    scale: torch.Tensor
    arg_constraints = {"df": constraints.positive, "scale": constraints.positive}
    support = constraints.nonnegative

    def __init__(self, df: Number, scale: Number = 1.0, validate_args: bool | None = None) -> None:
        self._set_parameters(validate_args, df=df, scale=scale)

    def _log_density(self, value: torch.Tensor) -> torch.Tensor:
        power = 0.5 * (self.df + 1) * torch.log1p((value / self.scale).square() / self.df)
        log_normalizer = log_beta(0.5 * self.df, torch.full_like(self.df, 0.5)) + 0.5 * self.df.log() + self.scale.log()
        return torch.where(value >= 0, math.log(2) - power - log_normalizer, -math.inf)

    def _position(self, value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Whether a value is positive, the log of (x / scale)^2 / df, and complementary arguments of the beta function.

        Where the ratio is so far from 1 that the incomplete beta function is a power, the arguments are made harmless.
        """
        inside = value > 0
        log_ratio = 2 * (torch.where(inside, value, 1.0) / self.scale).log() - self.df.log()
        ratio = torch.where(log_ratio.abs() < _FAR, log_ratio, 0.0).exp()
        return inside, log_ratio, 1 / (1 + ratio), ratio / (1 + ratio)

    def log_cdf(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log of the probability of no greater value."""
        inside, log_ratio, x, rest = self._position(value)
        a, half = 0.5 * self.df, torch.full_like(self.df, 0.5)
        power = 0.5 * log_ratio + math.log(2) - log_beta(a, half)
        log_cdf = torch.where(log_ratio < -_FAR, power, log_betainc(half, a, rest, x.detach()))
        return torch.where(inside, torch.where(log_ratio > _FAR, 0.0, log_cdf), -math.inf)

    def log_survival(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log of the probability of a greater value."""
        inside, log_ratio, x, rest = self._position(value)
        a, half = 0.5 * self.df, torch.full_like(self.df, 0.5)
        power = -a * log_ratio - a.log() - log_beta(a, half)
        log_survival = torch.where(log_ratio > _FAR, power, log_betainc(a, half, x, rest.detach()))
        return torch.where(inside & (log_ratio > -_FAR), log_survival, 0.0)

    def rsample(self, sample_shape: Size = EMPTY) -> torch.Tensor:
        """Draw a reparameterised sample: a half-normal variable over the root of a chi-squared one."""
        half = 0.5 * self.df.expand(self.shape(sample_shape))
        chi2_over_df = torch._standard_gamma(half) / half
        return (
            self.scale
            * self._normal(sample_shape).abs()
            * chi2_over_df.clamp(min=torch.finfo(self.df.dtype).tiny).rsqrt()
        )

    @property
    def mean(self) -> torch.Tensor:
        """The mean, shape batch_shape; infinite where df is 1 or less."""
        exists = self.df > 1
        df = torch.where(exists, self.df, 2.0)
        log_factor = log_beta(0.5 * df, torch.full_like(df, 0.5))
        return torch.where(exists, 2 * self.scale * df.sqrt() / (df - 1) * torch.exp(-log_factor), math.inf)

    @property
    def variance(self) -> torch.Tensor:
        """The variance, shape batch_shape; infinite where df is 2 or less, nan where it is 1 or less."""
        exists = self.df > 2
        df = torch.where(exists, self.df, 3.0)
        variance = self.scale.square() * df / (df - 2) - self.mean.square()
        return torch.where(exists, variance, torch.where(self.df > 1, math.inf, math.nan))

    @property
    def mode(self) -> torch.Tensor:
        """The mode, 0, shape batch_shape."""
        return torch.zeros_like(self.scale)

    def entropy(self) -> torch.Tensor:
        """Return the entropy, in nats."""
        half, above = 0.5 * self.df, 0.5 * (self.df + 1)
        spread = log_beta(half, torch.full_like(half, 0.5)) + 0.5 * self.df.log() + self.scale.log()
        return above * (above.digamma() - half.digamma()) + spread - math.log(2)
