"""FoldedDistribution: the absolute value of a real random variable."""

from __future__ import annotations

from typing import Any

import torch
from torch.distributions.transforms import AbsTransform

from pyroxene.distributions import constraints, tails
from pyroxene.distributions.torch import TransformedDistribution
from pyroxene.distributions.torch_distribution import Size, validate_sample
from pyroxene.errors import ParameterError

__all__ = ["FoldedDistribution"]


class FoldedDistribution(TransformedDistribution):
    """Distribution of the absolute value of a variable.

    Args:
        base_dist: a distribution of one real number.
        validate_args: whether to check values; None for the setting `validate_distributions_torch`.

    Raises:
        ParameterError: an event of the base distribution is not a scalar.

    Example:
        >>> from pyroxene.distributions import HalfNormal, Normal
        >>> folded = FoldedDistribution(Normal(0.0, 1.0))
        >>> bool(torch.isclose(folded.log_prob(torch.tensor(0.7)), HalfNormal(1.0).log_prob(torch.tensor(0.7))))
        True
    """

    support = constraints.positive

    def __init__(self, base_dist: Any, validate_args: bool | None = None) -> None:
        if base_dist.event_shape:
            raise ParameterError(
                "Only univariate distributions can be folded.",
                expected="event_shape ()",
                got=f"event_shape {tuple(base_dist.event_shape)}",
                hint="fold first, then call to_event",
            )
        super().__init__(base_dist, AbsTransform(), validate_args=validate_args)

    _validate_sample = validate_sample

    def expand(self, batch_shape: Size, _instance: Any = None) -> FoldedDistribution:
        """Return the distribution with a larger batch shape."""
        new = self.__new__(type(self)) if _instance is None else _instance
        return super().expand(batch_shape, _instance=new)

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log of the base's density at the value plus that at its negative."""
        if self._validate_args:
            self._validate_sample(value)
        return torch.logaddexp(self.base_dist.log_prob(value), self.base_dist.log_prob(-value))

    def log_cdf(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log of the base's probability between the value's negative and it."""
        inside = value > 0
        safe = torch.where(inside, value, 1.0)
        return torch.where(inside, tails.log_between(self.base_dist, -safe, safe), -torch.inf)

    def log_survival(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log of the base's probability beyond the value on either side."""
        inside = value > 0
        safe = torch.where(inside, value, 1.0)
        beyond = torch.logaddexp(tails.log_cdf(self.base_dist, -safe), tails.log_survival(self.base_dist, safe))
        return torch.where(inside, beyond, 0.0)
