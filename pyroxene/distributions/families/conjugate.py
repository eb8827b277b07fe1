"""Compound distributions of counts whose rate or probabilities have a conjugate prior, summed out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from pyroxene.distributions import constraints
from pyroxene.distributions.families.counts import Counts, FiniteCounts, as_parameters, common_value
from pyroxene.distributions.tails.incomplete import log_betainc
from pyroxene.distributions.torch import Beta, Binomial, Dirichlet, Gamma, Multinomial
from pyroxene.distributions.torch_distribution import EMPTY, Size, TorchDistribution
from pyroxene.errors import UnsupportedError
from pyroxene.ops.counting import deviance, factorial_remainder, log_negative_binomial_probability
from pyroxene.ops.special import log_beta, log_binomial

__all__ = ["BetaBinomial", "DirichletMultinomial", "GammaPoisson"]

Tensor = torch.Tensor


class BetaBinomial(FiniteCounts):
    """Number of successes in trials whose common probability has a Beta distribution.

    With n = total_count, a = concentration1, b = concentration0 and the beta function B:

        p(k) = (n choose k) B(k + a, n - k + b) / B(a, b),    k = 0, ..., n.

    Mean n a / (a + b), variance n a b (a + b + n) / ((a + b)^2 (a + b + 1)).

    Args:
        concentration1: a, the weight towards success, positive, shape batch_shape.
        concentration0: b, the weight towards failure, positive, shape batch_shape.
        total_count: n, the number of trials, a non-negative integer, shape batch_shape.
        validate_args: whether to check arguments and values; None for the setting `validate_distributions_torch`.

    Attributes:
        approx_log_prob_tol: the error allowed in each logarithm of a beta function; from 0.01 on a short form of
            Stirling's series takes the place of exact evaluation. 0 by default.

    Source: J. G. Skellam (1948), A probability distribution derived from the binomial distribution.

    Example:
        >>> d = BetaBinomial(1.0, 1.0, 3)  # uniform
        >>> d.log_prob(d.enumerate_support()).exp()
        tensor([0.2500, 0.2500, 0.2500, 0.2500])
    """

    arg_constraints = {
        "concentration1": constraints.positive,
        "concentration0": constraints.positive,
        "total_count": constraints.nonnegative_integer,
    }
    approx_log_prob_tol = 0.0
    _tensors = ("concentration1", "concentration0", "total_count")

    def __init__(
        self,
        concentration1: Tensor | float,
        concentration0: Tensor | float,
        total_count: Tensor | int = 1,
        validate_args: bool | None = None,
    ) -> None:
        self.concentration1, self.concentration0, self.total_count = as_parameters(
            concentration1, concentration0, total_count
        )
        super().__init__(self.total_count.shape, validate_args=validate_args)

    def _copy_options(self, new: Any) -> None:
        if "approx_log_prob_tol" in self.__dict__:
            new.approx_log_prob_tol = self.approx_log_prob_tol

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self) -> constraints.Constraint:
        """Integers from 0 to total_count."""
        return constraints.integer_interval(0, self.total_count)

    def _ends(self) -> tuple[Any, Any]:
        return 0.0, self.total_count

    def sample(self, sample_shape: Size = EMPTY) -> Tensor:
        """Draw a probability, then a number of successes."""
        with torch.no_grad():
            probs = Beta(self.concentration1, self.concentration0, validate_args=False).sample(torch.Size(sample_shape))
            return Binomial(self.total_count, probs=probs, validate_args=False).sample()

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log probability."""
        if self._validate_args:
            self._validate_sample(value)
        a, b, n = self.concentration1, self.concentration0, self.total_count
        is_possible = (value >= 0) & (value <= n)
        k, n = torch.where(is_possible, value, 0).to(n.dtype), n.clamp(min=0)
        tolerance = self.approx_log_prob_tol
        if tolerance:
            change = log_beta(k + a, n - k + b, tolerance) - log_beta(a, b, tolerance)
            return torch.where(is_possible, log_binomial(n, k, tolerance) + change, -math.inf)
        return torch.where(is_possible, _log_beta_binomial(k, n, a, b), -math.inf)

    @property
    def mean(self) -> Tensor:
        """N a / (a + b)."""
        return self.total_count * self.concentration1 / (self.concentration1 + self.concentration0)

    @property
    def variance(self) -> Tensor:
        """N a b (a + b + n) / ((a + b)^2 (a + b + 1))."""
        a, b, n = self.concentration1, self.concentration0, self.total_count
        s = a + b
        return n * (a / s) * (b / s) * ((s + n) / (s + 1))

    @property
    def mode(self) -> Tensor:
        """The likeliest value; the greater end where both concentrations are below 1 and concentration1 is greater."""
        a, b, n = self.concentration1, self.concentration0, self.total_count
        has_peak = a + b > 2
        peak = ((n + 1) * (a - 1) / torch.where(has_peak, a + b - 2, 1.0)).floor()
        return torch.where(has_peak, torch.minimum(peak.clamp(min=0), n), torch.where(a > b, n, 0.0))

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """Return 0, ..., total_count along a new first dimension.

        Raises:
            NotImplementedError: total counts differ within the batch.
        """
        return self._range(0, common_value(self, "total_count", self.total_count), self.total_count, expand)


def _log_beta_binomial(k: Tensor, n: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Log probability, with every large term a deviance from the pooled share of successes, (a + k) / (a + b + n)."""
    rest, s, total = n - k, a + b, a + b + n
    p, q = (a + k) / total, (b + rest) / total
    excess = (a * rest - k * b) / total
    data = deviance(k, n * p, excess) + deviance(rest, n * q, -excess)
    prior = deviance(a, s * p, -excess) + deviance(b, s * q, excess)
    r = factorial_remainder
    remainder = r(n) - r(k) - r(rest) + (r(a + k) - r(a)) + (r(b + rest) - r(b)) - (r(total) - r(s))
    ends = (a / (a + k)).log() + (b / (b + rest)).log() - (s / total).log()
    return remainder + ends - data - prior


class DirichletMultinomial(TorchDistribution):
    """Counts of categories in draws whose common probabilities have a Dirichlet distribution.

    With a = concentration, A its sum and n the sum of the counts:

        p(k) = n! Gamma(A) / Gamma(n + A) product over i of Gamma(k_i + a_i) / (k_i! Gamma(a_i)).

    Mean n a_i / A, variance n (a_i / A) (1 - a_i / A) (n + A) / (1 + A).

    Args:
        concentration: a, positive, shape (*batch_shape, K).
        total_count: n, the number of draws, a non-negative integer, shape batch_shape. Samples need one for the whole
            batch; `log_prob` uses the sum of the counts that it is given.
        is_sparse: assume that most counts are 0: `log_prob` then evaluates the others alone. It cannot be vectorised by
            `vmap`, nor compiled.
        validate_args: whether to check arguments and values; None for the setting `validate_distributions_torch`.

    Source: J. E. Mosimann (1962), On the compound multinomial distribution.

    Example:
        >>> d = DirichletMultinomial(torch.ones(2), 3)
        >>> d.log_prob(torch.tensor([1.0, 2.0])).exp()
        tensor(0.2500)
    """

    arg_constraints = {
        "concentration": constraints.independent(constraints.positive, 1),
        "total_count": constraints.nonnegative_integer,
    }

    def __init__(
        self,
        concentration: Tensor,
        total_count: Tensor | int = 1,
        is_sparse: bool = False,
        validate_args: bool | None = None,
    ) -> None:
        count, weight = as_parameters(total_count, concentration[..., 0])
        self.total_count = count
        self.concentration = concentration.expand(*weight.shape, concentration.shape[-1])
        self.is_sparse = is_sparse
        super().__init__(weight.shape, concentration.shape[-1:], validate_args=validate_args)

    @constraints.dependent_property(is_discrete=True, event_dim=1)
    def support(self) -> constraints.Constraint:
        """Vectors of non-negative integers with the sum total_count."""
        return constraints.multinomial(self.total_count)

    @classmethod
    def infer_shapes(
        cls, concentration: Sequence[int], total_count: Sequence[int] = ()
    ) -> tuple[torch.Size, torch.Size]:
        """Work out batch and event shape; see `TorchDistributionMixin.infer_shapes`."""
        concentration = torch.Size(concentration)
        return torch.broadcast_shapes(concentration[:-1], torch.Size(total_count)), concentration[-1:]

    def expand(self, batch_shape: Size, _instance: Any = None) -> DirichletMultinomial:
        """Return the distribution with a larger batch shape."""
        new = self.__new__(type(self)) if _instance is None else _instance
        batch_shape = torch.Size(batch_shape)
        new.concentration = self.concentration.expand(batch_shape + self._event_shape)
        new.total_count = self.total_count.expand(batch_shape)
        new.is_sparse = self.is_sparse
        TorchDistribution.__init__(new, batch_shape, self._event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    def sample(self, sample_shape: Size = EMPTY) -> Tensor:
        """Draw probabilities, then counts.

        Raises:
            NotImplementedError: total counts differ within the batch.
        """
        with torch.no_grad():
            if not bool((self.total_count == self.total_count.reshape(-1)[:1]).all()):
                raise UnsupportedError(
                    "DirichletMultinomial cannot sample an inhomogeneous total_count",
                    expected="one total_count for the whole batch",
                    hint="sample each part of the batch by itself",
                )
            count = int(self.total_count.reshape(-1)[0])
            probs = Dirichlet(self.concentration, validate_args=False).sample(torch.Size(sample_shape))
            return Multinomial(count, probs=probs, validate_args=False).sample()

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log probability."""
        if self._validate_args:
            self._validate_sample(value)
        a = self.concentration
        is_possible = (value >= 0).all(-1)
        k = value.clamp(min=0).to(a.dtype)
        n, s = k.sum(-1), a.sum(-1)
        if self.is_sparse:
            return torch.where(is_possible, _log_ways(n, s) - _log_ways_where_counted(k, a).sum(-1), -math.inf)
        total = s + n
        share = (a + k) / total.unsqueeze(-1)
        excess = (n.unsqueeze(-1) * a - s.unsqueeze(-1) * k) / total.unsqueeze(-1)
        data = deviance(k, n.unsqueeze(-1) * share, excess)
        prior = deviance(a, s.unsqueeze(-1) * share, -excess)
        r = factorial_remainder
        each = r(a + k) - r(a) - r(k) + (a / (a + k)).log() - data - prior
        log_prob = each.sum(-1) + r(n) - (r(total) - r(s)) - (s / total).log()
        return torch.where(is_possible, log_prob, -math.inf)

    @property
    def mean(self) -> Tensor:
        """N a / A, shape (*batch_shape, K)."""
        return self._shares() * self.total_count.unsqueeze(-1)

    @property
    def variance(self) -> Tensor:
        """Variance of each count, shape (*batch_shape, K)."""
        n, s, share = self.total_count.unsqueeze(-1), self.concentration.sum(-1, True), self._shares()
        return n * share * (1 - share) * (n + s) / (1 + s)

    def _shares(self) -> Tensor:
        return self.concentration / self.concentration.sum(-1, True)


def _log_ways(n: Tensor, s: Tensor) -> Tensor:
    """Log of n! Gamma(s) / Gamma(n + s)."""
    positive = n > 0
    safe = torch.where(positive, n, 1.0)
    return torch.where(positive, log_beta(safe, s) + safe.log(), 0.0)


def _log_ways_where_counted(k: Tensor, a: Tensor) -> Tensor:
    """`_log_ways`, evaluated where k is not 0 alone."""
    k, a = torch.broadcast_tensors(k, a)
    counted = k > 0
    some = k[counted]
    return torch.zeros_like(a).masked_scatter(counted, log_beta(some, a[counted]) + some.log())


class GammaPoisson(Counts):
    """Poisson distribution whose rate has a Gamma distribution; a negative binomial distribution.

    With a = concentration and b = rate:

        p(k) = Gamma(a + k) / (k! Gamma(a)) (b / (1 + b))^a (1 / (1 + b))^k,    k = 0, 1, ...

    Mean a / b, variance a (1 + b) / b^2.

    Args:
        concentration: a, shape parameter of the Gamma distribution, positive, shape batch_shape.
        rate: b, its inverse scale, positive, shape batch_shape.
        validate_args: whether to check arguments and values; None for the setting `validate_distributions_torch`.

    Source: M. Greenwood and G. U. Yule (1920), An inquiry into the nature of frequency distributions.

    Example:
        >>> GammaPoisson(1.0, 1.0).log_prob(torch.arange(3.0)).exp()  # geometric
        tensor([0.5000, 0.2500, 0.1250])
    """

    arg_constraints = {"concentration": constraints.positive, "rate": constraints.positive}
    support = constraints.nonnegative_integer
    _tensors: tuple[str, ...] = ("concentration", "rate")
    concentration: Tensor
    rate: Tensor

    def __init__(self, concentration: Tensor | float, rate: Tensor | float, validate_args: bool | None = None) -> None:
        self.concentration, self.rate = as_parameters(concentration, rate)
        super().__init__(self.rate.shape, validate_args=validate_args)

    def _chances(self) -> tuple[Tensor, Tensor]:
        """Probabilities of one more count and of the end, neither by subtraction."""
        end = self.rate / (1 + self.rate)
        return (1 + self.rate).reciprocal(), end

    def sample(self, sample_shape: Size = EMPTY) -> Tensor:
        """Draw a rate, then a count."""
        with torch.no_grad():
            rate = Gamma(self.concentration, self.rate, validate_args=False).sample(torch.Size(sample_shape))
            return torch.poisson(rate)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log probability."""
        if self._validate_args:
            self._validate_sample(value)
        is_possible = value >= 0
        k = torch.where(is_possible, value, 0).to(self.rate.dtype)
        log_prob = log_negative_binomial_probability(k, self.concentration, *self._chances())
        return torch.where(is_possible, log_prob, -math.inf)

    def _log_lower(self, k: Tensor) -> Tensor:
        more, end = self._chances()
        return log_betainc(self.concentration, k + 1, end, more)

    def _log_upper(self, k: Tensor) -> Tensor:
        more, end = self._chances()
        return log_betainc(k + 1, self.concentration, more, end)

    @property
    def mean(self) -> Tensor:
        """A / b."""
        return self.concentration / self.rate

    @property
    def variance(self) -> Tensor:
        """A (1 + b) / b^2."""
        return self.concentration / self.rate**2 * (1 + self.rate)

    @property
    def mode(self) -> Tensor:
        """The likeliest value, the greater of two."""
        return ((self.concentration - 1).clamp(min=0) / self.rate).floor()
