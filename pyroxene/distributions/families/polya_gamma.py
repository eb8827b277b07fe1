"""TruncatedPolyaGamma: the variance that makes a logistic likelihood normal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from pyroxene.distributions import constraints
from pyroxene.distributions.torch_distribution import EMPTY, Size, TorchDistribution

__all__ = ["TruncatedPolyaGamma"]

_SPLIT = 0.16
"""Below, the series of Levy densities converges at once; above, that of exponentials (Devroye's 0.64, over 4)."""
_TERMS = 6  # the first left out is below exp(-84 / (2 * 0.16)) and exp(-84 * 2 pi^2 * 0.16) of the whole


def _mass_beyond(x: float) -> float:
    return sum((-1) ** n * 2 / ((n + 0.5) * math.pi) * math.exp(-((n + 0.5) ** 2) * 2 * math.pi**2 * x) for n in (0, 1))


class TruncatedPolyaGamma(TorchDistribution):
    """Polya-Gamma(1, 0) distribution, truncated to (0, 2.5), beyond which lie six of a million.

    The density is sum_n (-1)^n (2n + 1) / sqrt(2 pi x^3) exp(-(2n + 1)^2 / (8 x)) / P, where P = 1 - 5.58e-6 is the
    mass that truncation leaves (Pyro leaves P out). The support is the interval from 0 to 2.5. Mean 0.2499863, variance
    0.0416331; untruncated, 1/4 and 1/24. Samples are exact.

    Args:
        prototype: a tensor of the batch shape, dtype and device that values shall have; its numbers play no part.
        validate_args: whether to check values; None for the setting `validate_distributions_torch`.

    Source: Polson, Scott and Windle (2013), Bayesian inference for logistic models using Polya-Gamma latent variables;
    both series and the sampler: Devroye (2009), On exact simulation algorithms for some distributions related to Jacobi
    theta functions.

    Example:
        >>> d = TruncatedPolyaGamma(torch.zeros(()))
        >>> d.log_prob(torch.tensor(0.25))
        tensor(0.6040)
        >>> d.cdf(torch.tensor([0.1, 1.0]))
        tensor([0.2277, 0.9908])
    """

    truncation_point = 2.5
    arg_constraints: dict[str, constraints.Constraint] = {}
    support = constraints.interval(0.0, truncation_point)
    _log_mass = math.log1p(-_mass_beyond(truncation_point))

    def __init__(self, prototype: torch.Tensor, validate_args: bool | None = None) -> None:
        self.prototype = prototype
        super().__init__(prototype.shape, EMPTY, validate_args=validate_args)

    @classmethod
    def infer_shapes(cls, prototype: Sequence[int]) -> tuple[torch.Size, torch.Size]:
        """Work out batch and event shape; see `TorchDistributionMixin.infer_shapes`."""
        return torch.Size(prototype), EMPTY

    def expand(self, batch_shape: Size, _instance: Any = None) -> TruncatedPolyaGamma:
        """Return the distribution with a larger batch shape."""
        new = self.__new__(type(self)) if _instance is None else _instance
        TruncatedPolyaGamma.__init__(new, self.prototype.expand(torch.Size(batch_shape)), validate_args=False)
        new._validate_args = self._validate_args
        return new

    @staticmethod
    def _series(x: torch.Tensor, powers: tuple[float, float]) -> tuple[torch.Tensor, torch.Tensor]:
        """Sums of (-1)^n (2n+1)^power exp(-decay_n) over n > 0, of both series, relative to their first terms."""
        left = torch.zeros_like(x)
        right = torch.zeros_like(x)
        for n in range(1, _TERMS):
            odd, pairs = 2 * n + 1, n * (n + 1)
            left = left + (-1) ** n * odd ** powers[0] * torch.exp(-pairs / (2 * x.clamp(max=_SPLIT)))
            right = right + (-1) ** n * odd ** powers[1] * torch.exp(-2 * math.pi**2 * pairs * x.clamp(min=_SPLIT))
        return left, right

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log density of each value; -inf at 0."""
        if self._validate_args:
            self._validate_sample(value)
        inside = (value > 0) & (value <= self.truncation_point)
        x = torch.where(inside, value, _SPLIT)
        left, right = self._series(x, (1, 1))
        log_left = -1 / (8 * x) - 1.5 * x.log() - 0.5 * math.log(2 * math.pi) + torch.log1p(left)
        log_right = math.log(2 * math.pi) - math.pi**2 * x / 2 + torch.log1p(right)
        log_density = torch.where(x < _SPLIT, log_left, log_right) - self._log_mass
        return torch.where(inside, log_density, -math.inf).expand(
            torch.broadcast_shapes(value.shape, self._batch_shape)
        )

    def _log_tails(self, value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Log of the untruncated cdf for small values and log survival for large ones, and which are small."""
        x = value.clamp(torch.finfo(value.dtype).tiny, self.truncation_point)
        small = x < _SPLIT
        root = (2 * torch.where(small, x, _SPLIT)).sqrt()
        # 2 sum (-1)^n erfc((2n + 1) / sqrt(8 x)), through erfcx relative to its first term
        first = torch.special.erfcx(0.5 / root)
        others = torch.zeros_like(root)
        for n in range(1, _TERMS):
            fall = torch.exp(-n * (n + 1) / root**2)
            others = others + (-1) ** n * torch.special.erfcx((n + 0.5) / root) * fall
        log_cdf = math.log(2) - 0.25 / root**2 + first.log() + torch.log1p(others / first)
        log_survival = math.log(4 / math.pi) - math.pi**2 * x / 2 + torch.log1p(self._series(x, (-1, -1))[1])
        return log_cdf, log_survival, small

    def log_cdf(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log of the cdf, finite for every positive value."""
        log_cdf, log_survival, small = self._log_tails(value)
        log_cdf = torch.where(small, log_cdf, torch.log1p(-torch.where(small, -math.inf, log_survival).exp()))
        log_cdf = torch.where(value < self.truncation_point, log_cdf - self._log_mass, 0.0)
        return torch.where(value > 0, log_cdf, -math.inf)

    def log_survival(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log of the probability of exceeding each value."""
        log_cdf, log_survival, small = self._log_tails(value)
        # what lies between the value and the truncation point
        between = log_survival - math.log(_mass_beyond(self.truncation_point))
        beyond = value >= self.truncation_point
        safe = torch.where(beyond | small, 1.0, between)
        far = math.log(_mass_beyond(self.truncation_point)) + safe + torch.log(-torch.expm1(-safe)) - self._log_mass
        near = torch.log1p(-(torch.where(small, log_cdf, -math.inf) - self._log_mass).exp())
        result = torch.where(small, near, far)
        return torch.where(beyond, -math.inf, torch.where(value > 0, result, 0.0))

    def cdf(self, value: torch.Tensor) -> torch.Tensor:
        """Return the probability of not exceeding each value."""
        return self.log_cdf(value).exp()

    @torch.no_grad()
    def icdf(self, value: torch.Tensor) -> torch.Tensor:
        """Return quantiles by bisection, to rounding; without gradients."""
        low = torch.zeros_like(value)
        high = torch.full_like(value, self.truncation_point)
        for _ in range(60):
            middle = (low + high) / 2
            below = torch.where(
                value < 0.5, self.log_cdf(middle) < value.log(), self.log_survival(middle) > torch.log1p(-value)
            )
            low, high = torch.where(below, middle, low), torch.where(below, high, middle)
        return torch.where((value < 0) | (value > 1) | value.isnan(), math.nan, (low + high) / 2)

    @torch.no_grad()
    def sample(self, sample_shape: Size = EMPTY) -> torch.Tensor:
        """Draw exact samples by Devroye's rejection, (*sample_shape, *batch_shape).

        The proposal is a Levy variable below 0.16 and an exponential one above; 1 in 2000 is rejected.
        """
        shape = self.shape(sample_shape)
        like = self.prototype

        def uniform() -> torch.Tensor:
            return torch.rand(shape, dtype=like.dtype, device=like.device).clamp(min=torch.finfo(like.dtype).tiny)

        # masses of the first terms of both series on their sides of the split
        left_mass = 2 * math.erfc(1 / math.sqrt(8 * _SPLIT))
        right_mass = 4 / math.pi * math.exp(-(math.pi**2) * _SPLIT / 2)
        value = torch.zeros(shape, dtype=like.dtype, device=like.device)
        waiting = torch.ones(shape, dtype=torch.bool, device=like.device)
        while waiting.any():
            # 1 / (4 z^2) is below the split where |z| is above 1 / sqrt(4 split)
            tail = uniform() * 0.5 * math.erfc(1 / math.sqrt(8 * _SPLIT))
            small = 1 / (4 * torch.special.ndtri(tail) ** 2)
            large = _SPLIT - 2 * uniform().log() / math.pi**2
            is_small = uniform() < left_mass / (left_mass + right_mass)
            proposed = torch.where(is_small, small, large)
            left, right = self._series(proposed, (1, 1))
            accept = uniform() < 1 + torch.where(is_small, left, right)
            accept = accept & (proposed < self.truncation_point) & (proposed > 0)
            value = torch.where(waiting & accept, proposed, value)
            waiting = waiting & ~accept
        return value

    @property
    def mean(self) -> torch.Tensor:
        """The mean, shape batch_shape."""
        return torch.full_like(self.prototype, _MEAN)

    @property
    def variance(self) -> torch.Tensor:
        """The variance, shape batch_shape."""
        return torch.full_like(self.prototype, _VARIANCE)


def _moments() -> tuple[float, float]:
    """Mean and variance: the untruncated moments 1/4 and 1/24, less the tail, in which one exponential is left."""
    rate, end, mass = math.pi**2 / 2, TruncatedPolyaGamma.truncation_point, _mass_beyond(2.5)
    first = (0.25 - mass * (end + 1 / rate)) / (1 - mass)
    second = (0.25**2 + 1 / 24 - mass * (end**2 + 2 * end / rate + 2 / rate**2)) / (1 - mass)
    return first, second - first**2


_MEAN, _VARIANCE = _moments()
