"""Uniform distribution over the integers of a closed range."""

from __future__ import annotations

import math
from typing import Any

import torch

from pyroxene.distributions import constraints
from pyroxene.distributions.families.counts import FiniteCounts, as_parameters, common_value
from pyroxene.distributions.torch_distribution import EMPTY, Size
from pyroxene.errors import ParameterError

__all__ = ["DiscreteUniform"]

Tensor = torch.Tensor


class DiscreteUniform(FiniteCounts):
    """Uniform distribution over the integers low, ..., high, both of them included.

    p(k) = 1 / (high - low + 1). Mean (low + high) / 2, variance ((high - low + 1)^2 - 1) / 12.

    Args:
        low: the least value, an integer, shape batch_shape.
        high: the greatest value, an integer not below low, shape batch_shape.
        validate_args: whether to check arguments and values; None for the setting `validate_distributions_torch`.

    Raises:
        ParameterError: an end is not an integer, or low is above high.

    Source: N. L. Johnson, A. W. Kemp and S. Kotz (2005), Univariate discrete distributions, section 6.2.2.

    Example:
        >>> d = DiscreteUniform(1, 6)
        >>> d.mean, d.log_prob(torch.tensor(6.0)).exp()
        (tensor(3.5000), tensor(0.1667))
    """

    arg_constraints = {"low": constraints.integer, "high": constraints.integer}
    _tensors = ("low", "high")

    def __init__(self, low: Tensor | float = 0, high: Tensor | float = 1, *, validate_args: bool | None = None) -> None:
        self.low, self.high = as_parameters(low, high)
        super().__init__(self.low.shape, validate_args=validate_args)
        if self._validate_args and not bool((self.low <= self.high).all()):
            raise ParameterError(
                "DiscreteUniform is not defined when low > high",
                expected="low <= high",
                got=f"low {low}, high {high}",
                hint="exchange the two",
            )

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self) -> constraints.Constraint:
        """Integers from low to high."""
        return constraints.integer_interval(self.low, self.high)

    def _ends(self) -> tuple[Any, Any]:
        return self.low, self.high

    def _size(self) -> Tensor:
        return self.high - self.low + 1

    def sample(self, sample_shape: Size = EMPTY) -> Tensor:
        """Draw integers."""
        with torch.no_grad():
            uniform = torch.rand(self._extended_shape(sample_shape), dtype=self.low.dtype, device=self.low.device)
            return torch.minimum(self.low + (uniform * self._size()).floor(), self.high)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log probability, -log(high - low + 1)."""
        if self._validate_args:
            self._validate_sample(value)
        is_possible = (value >= self.low) & (value <= self.high)
        return torch.where(is_possible, -self._size().log(), -math.inf)

    def _log_lower(self, k: Tensor) -> Tensor:
        return ((k - self.low + 1) / self._size()).log()

    def _log_upper(self, k: Tensor) -> Tensor:
        return ((self.high - k) / self._size()).log()

    def entropy(self) -> Tensor:
        """log(high - low + 1)."""
        return self._size().log()

    @property
    def mean(self) -> Tensor:
        """(low + high) / 2."""
        return (self.low + self.high) / 2

    @property
    def variance(self) -> Tensor:
        """((high - low + 1)^2 - 1) / 12."""
        return (self.high - self.low) * (self.high - self.low + 2) / 12

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """Return low, ..., high along a new first dimension.

        Raises:
            NotImplementedError: the ends differ within the batch.
        """
        low, high = common_value(self, "low", self.low), common_value(self, "high", self.high)
        return self._range(low, high, self.low, expand)
