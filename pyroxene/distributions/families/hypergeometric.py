"""Hypergeometric distribution: successes in draws without replacement."""

from __future__ import annotations

import math
from typing import Any

import torch

from pyroxene.distributions import constraints
from pyroxene.distributions.families.counts import FiniteCounts, as_parameters, common_value
from pyroxene.distributions.torch_distribution import EMPTY, Size
from pyroxene.errors import ParameterError
from pyroxene.ops.counting import log_binomial_probability

__all__ = ["HyperGeometric"]

Tensor = torch.Tensor


class HyperGeometric(FiniteCounts):
    """Number of successes in draws without replacement from a finite population.

    p(x) = (k choose x) (N - k choose n - x) / (N choose n), max(0, n + k - N) <= x <= min(k, n). Mean n k / N, variance
    n (k / N) (1 - k / N) (N - n) / (N - 1). The names of the parameters are PyMC's; scipy's hypergeom(N, k, n) has the
    same order.

    Args:
        N: size of the population, a non-negative integer, shape batch_shape.
        k: how many of the population are successes, from 0 to N, shape batch_shape.
        n: how many are drawn, from 0 to N, shape batch_shape.
        validate_args: whether to check arguments and values; None for the setting `validate_distributions_torch`.

    Raises:
        ParameterError: k or n is greater than N.

    Source: N. L. Johnson, A. W. Kemp and S. Kotz (2005), Univariate discrete distributions, chapter 6.

    Example:
        >>> d = HyperGeometric(4, 2, 2)
        >>> d.log_prob(d.enumerate_support()).exp()
        tensor([0.1667, 0.6667, 0.1667])
    """

    arg_constraints = {
        "N": constraints.nonnegative_integer,
        "k": constraints.nonnegative_integer,
        "n": constraints.nonnegative_integer,
    }
    _tensors = ("N", "k", "n")

    def __init__(
        self, N: Tensor | float, k: Tensor | float, n: Tensor | float, *, validate_args: bool | None = None
    ) -> None:
        self.N, self.k, self.n = as_parameters(N, k, n)
        super().__init__(self.N.shape, validate_args=validate_args)
        if self._validate_args and not bool(((self.k <= self.N) & (self.n <= self.N)).all()):
            raise ParameterError(
                "HyperGeometric has more successes or more draws than its population",
                expected="k <= N and n <= N",
                got=f"N {N}, k {k}, n {n}",
                hint="the arguments are population, successes in it, draws",
            )

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self) -> constraints.Constraint:
        """Integers from max(0, n + k - N) to min(k, n)."""
        return constraints.integer_interval(*self._ends())

    def _ends(self) -> tuple[Any, Any]:
        return (self.n + self.k - self.N).clamp(min=0), torch.minimum(self.k, self.n)

    def sample(self, sample_shape: Size = EMPTY) -> Tensor:
        """Draw by the distribution function, of which the whole table is computed: batch by range of values."""
        with torch.no_grad():
            low, high = self._ends()
            size = int((high - low).max()) + 1
            table = low.unsqueeze(-1) + torch.arange(size, dtype=low.dtype, device=low.device)
            log_prob = self._log_probability(table, *(p.unsqueeze(-1) for p in (self.N, self.k, self.n)))
            cumulative = log_prob.double().exp().cumsum(-1)
            shape = self._extended_shape(sample_shape)
            uniform = torch.rand(shape, dtype=torch.float64, device=low.device) * cumulative[..., -1]
            place = torch.searchsorted(cumulative.expand(*shape, size).contiguous(), uniform.unsqueeze(-1), right=True)
            return torch.minimum(low + place.squeeze(-1).to(low.dtype), high)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log probability."""
        if self._validate_args:
            self._validate_sample(value)
        return self._log_probability(value, self.N, self.k, self.n)

    @staticmethod
    def _log_probability(value: Tensor, N: Tensor, k: Tensor, n: Tensor) -> Tensor:
        """A quotient of three binomial probabilities with the chance n / N of being drawn."""
        low = (n + k - N).clamp(min=0)
        is_possible = (value >= low) & (value <= torch.minimum(k, n))
        x = torch.where(is_possible, value.to(N.dtype), low)
        total = torch.where(N > 0, N, 1.0)
        p, q = n / total, (N - n) / total
        successes = log_binomial_probability(x, k - x, p, q)
        failures = log_binomial_probability(n - x, (N - k) - (n - x), p, q)
        return torch.where(is_possible, successes + failures - log_binomial_probability(n, N - n, p, q), -math.inf)

    @property
    def mean(self) -> Tensor:
        """N k / N."""
        return self.n * (self.k / torch.where(self.N > 0, self.N, 1.0))

    @property
    def variance(self) -> Tensor:
        """N (k / N) (1 - k / N) (N - n) / (N - 1)."""
        share = self.k / torch.where(self.N > 0, self.N, 1.0)
        return self.n * share * (1 - share) * (self.N - self.n) / (self.N - 1).clamp(min=1)

    @property
    def mode(self) -> Tensor:
        """The likeliest value, the greater of two."""
        return ((self.n + 1) * (self.k + 1) / (self.N + 2)).floor().clamp(*self._ends())

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """Return max(0, n + k - N), ..., min(k, n) along a new first dimension.

        Raises:
            NotImplementedError: the ends differ within the batch.
        """
        low, high = self._ends()
        return self._range(
            common_value(self, "least value", low), common_value(self, "greatest value", high), low, expand
        )
