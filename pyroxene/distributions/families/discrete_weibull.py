"""Discrete Weibull distribution: the integer part of a Weibull variable."""

from __future__ import annotations

import math

import torch

from pyroxene.distributions import constraints
from pyroxene.distributions.families.counts import Counts, as_parameters
from pyroxene.distributions.tails.incomplete import log_gammaincc
from pyroxene.distributions.tails.logarithms import log1mexp
from pyroxene.distributions.torch_distribution import EMPTY, Size

__all__ = ["DiscreteWeibull"]

Tensor = torch.Tensor

_TERMS = 2000
"""Terms summed per unit of beta: beyond, where probabilities matter, they change by less than a fiftieth in a step."""


class DiscreteWeibull(Counts):
    """Discrete Weibull distribution of type 1: the integer part of a Weibull variable.

        p(k) = q^(k^beta) - q^((k + 1)^beta),    P(X > k) = q^((k + 1)^beta),    k = 0, 1, ...

    Geometric for beta = 1. The mean is the sum of q^(k^beta) over k = 1, 2, ..., the second moment that of
    (2 k - 1) q^(k^beta); both are summed to 1e-12. The Weibull variable has scale (-log q)^(-1 / beta) and
    concentration beta.

    Args:
        q: probability of a value above 0, in (0, 1), shape batch_shape.
        beta: shape parameter, positive, shape batch_shape; the hazard falls below 1 and rises above.
        validate_args: whether to check arguments and values; None for the setting `validate_distributions_torch`.

    Source: T. Nakagawa and S. Osaki (1975), The discrete Weibull distribution.

    Example:
        >>> DiscreteWeibull(0.5, 1.0).log_prob(torch.arange(3.0)).exp()
        tensor([0.5000, 0.2500, 0.1250])
    """

    arg_constraints = {"q": constraints.unit_interval, "beta": constraints.positive}
    support = constraints.nonnegative_integer
    _tensors = ("q", "beta")

    def __init__(self, q: Tensor | float, beta: Tensor | float, *, validate_args: bool | None = None) -> None:
        self.q, self.beta = as_parameters(q, beta)
        super().__init__(self.q.shape, validate_args=validate_args)

    def _power(self, k: Tensor) -> Tensor:
        """k^beta for k >= 0, with a gradient of 0 for beta at 0."""
        positive = k > 0
        return torch.where(positive, torch.where(positive, k, 1.0) ** self.beta, 0.0)

    def sample(self, sample_shape: Size = EMPTY) -> Tensor:
        """Draw an exponential variable, take its root, cut off the fraction."""
        with torch.no_grad():
            shape = self._extended_shape(sample_shape)
            exponential = -torch.log1p(-torch.rand(shape, dtype=self.q.dtype, device=self.q.device))
            return ((exponential / -self.q.log()) ** self.beta.reciprocal()).floor()

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log probability."""
        if self._validate_args:
            self._validate_sample(value)
        is_possible = value >= 0
        k = torch.where(is_possible, value, 0).to(self.q.dtype)
        positive = k > 0
        safe = torch.where(positive, k, 1.0)
        power = safe**self.beta
        step = torch.where(positive, power * torch.expm1(self.beta * torch.log1p(safe.reciprocal())), 1.0)
        log_q = self.q.log()
        log_prob = log_q * torch.where(positive, power, 0.0) + log1mexp(log_q * step)
        return torch.where(is_possible, log_prob, -math.inf)

    def _moment(self, order: int) -> Tensor:
        """Mean of X^order for order 1 or 2: terms in turn, then an integral and corrections; DLMF 2.10.1."""
        rate, beta = -self.q.log(), self.beta
        n = _TERMS * (1 + int(self.beta.max()))
        k = torch.arange(1, n, dtype=rate.dtype, device=rate.device).reshape(-1, *[1] * rate.dim())
        weights = 2 * k - 1 if order == 2 else torch.ones_like(k)
        total = (weights * torch.exp(-rate * k**beta)).sum(0)
        last = rate * float(n) ** beta
        f = torch.exp(-last)
        integrals = [
            torch.exp((j / beta).lgamma() - beta.log() - j / beta * rate.log() + log_gammaincc(j / beta, last))
            for j in (1, 2)
        ]
        slope = -last * beta / n
        bend = slope * (beta - 1) / n
        first, second = f * slope, f * (slope**2 + bend)
        third = f * (slope**3 + 3 * slope * bend + bend * (beta - 2) / n)
        if order == 1:
            return total + integrals[0] + f / 2 - first / 12 + third / 720
        weight = 2 * n - 1
        slopes = (2 * f + weight * first) / 12 - (6 * second + weight * third) / 720
        return total + 2 * integrals[1] - integrals[0] + weight * f / 2 - slopes

    @property
    def mean(self) -> Tensor:
        """The sum of q^(k^beta)."""
        return self._moment(1)

    @property
    def variance(self) -> Tensor:
        """The sum of (2 k - 1) q^(k^beta), less the square of the mean."""
        return self._moment(2) - self._moment(1) ** 2

    def _log_lower(self, k: Tensor) -> Tensor:
        return log1mexp(self._log_upper(k))

    def _log_upper(self, k: Tensor) -> Tensor:
        return self._power(k + 1) * self.q.log()

    def _inverse_cdf(self, log_cdf: Tensor, log_survival: Tensor) -> Tensor:
        """The root of the Weibull variable, put right by a comparison on either side."""
        guess = ((log_survival / self.q.log()) ** self.beta.reciprocal()).ceil() - 1
        guess = guess.clamp(min=0)

        def reached(k: Tensor) -> Tensor:
            below, above = self.log_cdf(k), self.log_survival(k)
            return torch.where(log_cdf <= log_survival, below >= log_cdf, above <= log_survival)

        lower = torch.where((guess > 0) & reached(guess - 1), guess - 1, guess)
        return torch.where(reached(lower), lower, lower + 1)
