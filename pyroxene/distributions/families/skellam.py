"""Skellam distribution: the difference of two Poisson counts."""

from __future__ import annotations

import math
from typing import Any

import torch

from pyroxene.distributions import constraints
from pyroxene.distributions.families.counts import Counts, as_parameters
from pyroxene.distributions.tails.logarithms import log1mexp
from pyroxene.distributions.tails.registry import unchecked
from pyroxene.distributions.torch_distribution import EMPTY, Size
from pyroxene.ops.bessel import LARGE, log_bessel_i_remainder, log_bessel_i_series
from pyroxene.ops.counting import deviance, log_poisson_probability

__all__ = ["Skellam"]

Tensor = torch.Tensor


class Skellam(Counts):
    """Difference of two independent Poisson counts.

    With the modified Bessel function I of the first kind:

        p(k) = exp(-rate1 - rate2) (rate1 / rate2)^(k / 2) I_|k|(2 sqrt(rate1 rate2)),    k any integer.

    Mean rate1 - rate2, variance rate1 + rate2.

    Args:
        rate1: mean of the count that is added, positive, shape batch_shape.
        rate2: mean of the count that is subtracted, positive, shape batch_shape.
        validate_args: whether to check arguments and values; None for the setting `validate_distributions_torch`.

    Source: J. G. Skellam (1946), The frequency distribution of the difference between two Poisson variates belonging to
    different populations.

    Example:
        >>> Skellam(1.0, 1.0).log_prob(torch.tensor([-1.0, 0.0, 1.0])).exp()
        tensor([0.2153, 0.3085, 0.2153])
    """

    arg_constraints = {"rate1": constraints.positive, "rate2": constraints.positive}
    support = constraints.integer
    _tensors = ("rate1", "rate2")

    def __init__(self, rate1: Tensor | float, rate2: Tensor | float, *, validate_args: bool | None = None) -> None:
        self.rate1, self.rate2 = as_parameters(rate1, rate2)
        super().__init__(self.rate1.shape, validate_args=validate_args)

    def _ends(self) -> tuple[Any, Any]:
        return -math.inf, math.inf

    def sample(self, sample_shape: Size = EMPTY) -> Tensor:
        """Draw two counts and subtract."""
        with torch.no_grad():
            shape = self._extended_shape(sample_shape)
            return torch.poisson(self.rate1.expand(shape)) - torch.poisson(self.rate2.expand(shape))

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log probability.

        Where the hypotenuse h of k and the Bessel function's argument is large, the exponents together are the
        deviances of the likeliest counts (h + k) / 2 and (h - k) / 2 from their rates, so that they do not cancel.
        """
        if self._validate_args:
            self._validate_sample(value)
        value = value.to(self.rate1.dtype)
        is_positive = value >= 0
        more = torch.where(is_positive, self.rate1, self.rate2)
        less = torch.where(is_positive, self.rate2, self.rate1)
        k = value.abs()
        argument = 2 * more.sqrt() * less.sqrt()
        hypotenuse = torch.hypot(k, argument)
        is_large = hypotenuse > LARGE
        order, z = torch.where(is_large, 0.0, k), torch.where(is_large, 1.0, argument)
        small = log_poisson_probability(order, torch.where(is_large, 1.0, more)) - less + log_bessel_i_series(order, z)
        order, h = torch.where(is_large, k, 0.0), torch.where(is_large, hypotenuse, 2 * LARGE)
        first = (h + order) / 2
        second = torch.where(is_large, more / first * less, LARGE)
        excess = more - first
        exponent = deviance(first, more, excess) + deviance(second, less, less - second)
        return torch.where(is_large, log_bessel_i_remainder(order, h) - exponent, small)

    def _tail(self, k: Tensor, upper: bool) -> Tensor:
        """Log of a sum of probabilities on one side, over nine standard deviations and more."""
        spread = float((self.rate1 + self.rate2).max().sqrt())
        count = int(9 * spread) + 64
        shape = torch.broadcast_shapes(k.shape, self._batch_shape)
        steps = torch.arange(count, dtype=k.dtype, device=k.device).reshape(-1, *[1] * len(shape))
        values = k + 1 + steps if upper else k - steps
        return unchecked(self).log_prob(values).logsumexp(0)

    def _either(self, k: Tensor, upper: bool) -> Tensor:
        """The sum on the side that is further from the mean, or its complement."""
        is_upper = k >= self.mean
        far = torch.where(is_upper, self._tail(k, upper=True), self._tail(k, upper=False)).clamp(max=0.0)
        return torch.where(is_upper == upper, far, log1mexp(far))

    def _log_lower(self, k: Tensor) -> Tensor:
        return self._either(k, upper=False)

    def _log_upper(self, k: Tensor) -> Tensor:
        return self._either(k, upper=True)

    @property
    def mean(self) -> Tensor:
        """rate1 - rate2."""
        return self.rate1 - self.rate2

    @property
    def variance(self) -> Tensor:
        """rate1 + rate2."""
        return self.rate1 + self.rate2
