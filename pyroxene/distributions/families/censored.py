"""Censoring: a value known only to lie beyond a bound, or between two, counts the probability of that."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from pyroxene.distributions import constraints, tails
from pyroxene.distributions.families.truncated import Bound, as_bound
from pyroxene.distributions.torch_distribution import EMPTY, Size, TorchDistribution
from pyroxene.distributions.util import broadcast_shape
from pyroxene.errors import ParameterError

__all__ = [
    "Censored",
    "IntervalCensoredDistribution",
    "LeftCensoredDistribution",
    "RightCensoredDistribution",
]

Flag = torch.Tensor | bool | float


class _CensoredBase(TorchDistribution):
    """Abstract: a distribution of one number, of which some values are not seen as they are."""

    arg_constraints: dict[str, constraints.Constraint] = {}

    def _set_base(self, base_dist: Any, *shapes: Sequence[int]) -> torch.Size:
        if base_dist.event_shape:
            raise ParameterError(
                f"{type(self).__name__} censors distributions of one number",
                expected="a base of event_shape ()",
                got=f"event_shape {tuple(base_dist.event_shape)}",
                hint="censor first, then call to_event",
            )
        batch_shape = torch.Size(broadcast_shape(base_dist.batch_shape, *shapes))
        self.base_dist = base_dist if base_dist.batch_shape == batch_shape else base_dist.expand(batch_shape)
        return batch_shape

    def _expand_with(self, batch_shape: Size, _instance: Any, event_shape: torch.Size, *names: str) -> Any:
        """Expand the base and the tensors of these names, which may be None."""
        new = self.__new__(type(self)) if _instance is None else _instance
        batch_shape = torch.Size(batch_shape)
        new.base_dist = self.base_dist.expand(batch_shape)
        for name in names:
            own = getattr(self, name)
            setattr(new, name, None if own is None else own.expand(batch_shape))
        TorchDistribution.__init__(new, batch_shape, event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new


def _flags(flag: Flag) -> torch.Tensor:
    """Booleans or numbers 0 and 1 as a boolean tensor."""
    return torch.as_tensor(flag).bool()


class _OneSided(_CensoredBase):
    """Abstract: each value is exact or, by a flag, a bound.

    Implementing it: define `_log_tail(value)`, the log of the probability beyond a bound.
    """

    def __init__(self, base_dist: Any, censored: Flag = False, *, validate_args: bool | None = None) -> None:
        flags = _flags(censored)
        batch_shape = self._set_base(base_dist, flags.shape)
        self.censored = flags.expand(batch_shape)
        super().__init__(batch_shape, EMPTY, validate_args=validate_args)

    def expand(self, batch_shape: Size, _instance: Any = None) -> Any:
        """Return the distribution with a larger batch shape."""
        return self._expand_with(batch_shape, _instance, EMPTY, "censored")

    @constraints.dependent_property(event_dim=0)
    def support(self) -> Any:
        """The base distribution's support."""
        return self.base_dist.support

    def sample(self, sample_shape: Size = EMPTY) -> torch.Tensor:
        """Draw from the base distribution: the values as they would be without censoring."""
        return self.base_dist.sample(sample_shape)

    def _log_tail(self, value: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log density where a value is exact and the log of the tail's probability where it is a bound."""
        if self._validate_args:
            self._validate_sample(value)
        return torch.where(self.censored, self._log_tail(value), self.base_dist.log_prob(value))


class LeftCensoredDistribution(_OneSided):
    """A distribution of values that are exact or, where `censored`, known to be at most the value given.

    The density is f(x) where a value is exact, and the probability F(x) where it is censored.

    Args:
        base_dist: a distribution of one number with a distribution function, shape batch_shape.
        censored: whether each value is a bound, booleans or 0 and 1, shape batch_shape.
        validate_args: whether to check values; None for the setting `validate_distributions_torch`.

    Support: the base's. Samples are the base's, uncensored; there are no moments, as the flags belong to the data.

    Source: J. P. Klein and M. L. Moeschberger (2003), Survival Analysis, section 3.5.

    Example:
        >>> from pyroxene.distributions import Normal
        >>> LeftCensoredDistribution(Normal(0.0, 1.0), torch.tensor([False, True])).log_prob(torch.zeros(2))
        tensor([-0.9189, -0.6931])
    """

    def _log_tail(self, value: torch.Tensor) -> torch.Tensor:
        return tails.log_cdf(self.base_dist, value)


class RightCensoredDistribution(_OneSided):
    """A distribution of values that are exact or, where `censored`, known to be greater than the value given.

    The density is f(x) where a value is exact, and the probability 1 - F(x) where it is censored, as in survival
    analysis of subjects still alive at the end of a study.

    Args:
        base_dist: a distribution of one number with a distribution function, shape batch_shape.
        censored: whether each value is a bound, booleans or 0 and 1, shape batch_shape.
        validate_args: whether to check values; None for the setting `validate_distributions_torch`.

    Support: the base's. Samples are the base's, uncensored; there are no moments, as the flags belong to the data.

    Source: J. P. Klein and M. L. Moeschberger (2003), Survival Analysis, section 3.5.

    Example:
        >>> from pyroxene.distributions import Exponential
        >>> RightCensoredDistribution(Exponential(2.0), torch.tensor([False, True])).log_prob(torch.ones(2))
        tensor([-1.3069, -2.0000])
    """

    def _log_tail(self, value: torch.Tensor) -> torch.Tensor:
        return tails.log_survival(self.base_dist, value)


class IntervalCensoredDistribution(_CensoredBase):
    """A distribution of values known to lie in an interval (lower, upper], given as the two entries of an event.

    With F the base's distribution function an observation counts F(upper) - F(lower); where left-censored F(upper),
    where right-censored 1 - F(lower), where both, the probability outside of the interval, 1 - F(upper) + F(lower).
    Where lower and upper are equal and no flag is set, the value is exact and counts its density.

    Args:
        base_dist: a distribution of one number with a distribution function, shape batch_shape.
        left_censored: where only the upper end is known, booleans or 0 and 1, shape batch_shape.
        right_censored: where only the lower end is known, booleans or 0 and 1, shape batch_shape.
        validate_args: whether to check values; None for the setting `validate_distributions_torch`.

    Support: pairs of reals. Samples are exact values, both ends equal; there are no moments, as the intervals belong to
    the data.

    Source: J. P. Klein and M. L. Moeschberger (2003), Survival Analysis, section 3.5.

    Example:
        >>> from pyroxene.distributions import Normal
        >>> d = IntervalCensoredDistribution(Normal(0.0, 1.0), False, torch.tensor([False, True]))
        >>> d.log_prob(torch.tensor([[-1.0, 1.0], [0.0, 0.0]])).exp()
        tensor([0.6827, 0.5000])
    """

    support = constraints.real_vector

    def __init__(
        self, base_dist: Any, left_censored: Flag, right_censored: Flag, *, validate_args: bool | None = None
    ) -> None:
        left, right = _flags(left_censored), _flags(right_censored)
        batch_shape = self._set_base(base_dist, left.shape, right.shape)
        self.left_censored = left.expand(batch_shape)
        self.right_censored = right.expand(batch_shape)
        super().__init__(batch_shape, torch.Size((2,)), validate_args=validate_args)

    def expand(self, batch_shape: Size, _instance: Any = None) -> Any:
        """Return the distribution with a larger batch shape."""
        return self._expand_with(batch_shape, _instance, torch.Size((2,)), "left_censored", "right_censored")

    def sample(self, sample_shape: Size = EMPTY) -> torch.Tensor:
        """Draw exact values from the base distribution, as intervals with equal ends."""
        value = self.base_dist.sample(sample_shape)
        return torch.stack([value, value], -1)

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log of the probability of each interval, or the log density of an exact value."""
        if self._validate_args:
            self._validate_sample(value)
        lower, upper = value[..., 0], value[..., 1]
        is_exact = (lower == upper) & ~self.left_censored & ~self.right_censored
        is_interval = ~is_exact & ~self.left_censored & ~self.right_censored
        is_outside = self.left_censored & self.right_censored
        start = torch.where(is_interval, lower, upper - 1)  # a proper interval where the result is not used
        inside = tails.log_between(self.base_dist, start, upper)
        below, above = tails.log_cdf(self.base_dist, lower), tails.log_survival(self.base_dist, upper)
        outside = torch.logaddexp(*(torch.where(is_outside, part, -1.0) for part in (below, above)))
        censored = torch.where(
            self.left_censored,
            torch.where(self.right_censored, outside, tails.log_cdf(self.base_dist, upper)),
            torch.where(self.right_censored, tails.log_survival(self.base_dist, lower), inside),
        )
        exact = tails.unchecked(self.base_dist).log_prob(lower)
        return torch.where(is_exact, exact, censored)


class Censored(_CensoredBase):
    """A distribution whose values beyond two bounds are seen as the bounds, as on an instrument of limited range.

    The density is f(x) between the bounds; the bounds have probabilities F(lower) and 1 - F(upper), for integers
    1 - F(upper - 1), as the bound itself counts.

    Args:
        base_dist: a distribution of one number with a distribution function, shape batch_shape.
        lower: the least value seen, None for none, shape batch_shape.
        upper: the greatest value seen, None for none, shape batch_shape.
        validate_args: whether to check the arguments; None for the setting `validate_distributions_torch`.

    Support: [lower, upper]. PyMC has this class under the same name. Samples are the base's, clamped.

    Source: J. Tobin (1958), Estimation of relationships for limited dependent variables.

    Example:
        >>> from pyroxene.distributions import Normal
        >>> Censored(Normal(0.0, 1.0), lower=0.0).log_prob(torch.tensor([0.0, 1.0]))
        tensor([-0.6931, -1.4189])
    """

    def __init__(
        self, base_dist: Any, lower: Bound = None, upper: Bound = None, *, validate_args: bool | None = None
    ) -> None:
        lower, upper = (as_bound(base_dist, end) for end in (lower, upper))
        batch_shape = self._set_base(base_dist, *(end.shape for end in (lower, upper) if end is not None))
        self.lower = None if lower is None else lower.expand(batch_shape)
        self.upper = None if upper is None else upper.expand(batch_shape)
        super().__init__(batch_shape, EMPTY, validate_args=validate_args)
        if self._validate_args and lower is not None and upper is not None and not bool((lower < upper).all()):
            raise ParameterError(
                "the bounds of Censored leave nothing between them",
                expected="lower < upper",
                got=f"lower {lower.tolist()}, upper {upper.tolist()}",
            )

    def expand(self, batch_shape: Size, _instance: Any = None) -> Any:
        """Return the distribution with a larger batch shape."""
        return self._expand_with(batch_shape, _instance, EMPTY, "lower", "upper")

    @constraints.dependent_property(event_dim=0)
    def support(self) -> Any:
        """The values between the bounds; integers where the base's are."""
        low = -math.inf if self.lower is None else self.lower
        high = math.inf if self.upper is None else self.upper
        if self.base_dist.support.is_discrete:
            return constraints.integer_interval(low, high)
        return constraints.interval(low, high)

    def _clamp(self, value: torch.Tensor) -> torch.Tensor:
        value = value if self.lower is None else torch.maximum(value, self.lower)
        return value if self.upper is None else torch.minimum(value, self.upper)

    def sample(self, sample_shape: Size = EMPTY) -> torch.Tensor:
        """Draw from the base distribution and move what lies beyond a bound to the bound."""
        with torch.no_grad():
            return self._clamp(self.base_dist.sample(sample_shape))

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log density between the bounds and the log probability at them."""
        if self._validate_args:
            self._validate_sample(value)
        base, is_discrete = self.base_dist, self.base_dist.support.is_discrete
        result = tails.unchecked(base).log_prob(self._clamp(value))
        if self.lower is not None:
            result = torch.where(value <= self.lower, tails.log_cdf(base, self.lower), result)
            result = torch.where(value < self.lower, -math.inf, result)
        if self.upper is not None:
            below = self.upper.ceil() - 1 if is_discrete else self.upper
            result = torch.where(value >= self.upper, tails.log_survival(base, below), result)
            result = torch.where(value > self.upper, -math.inf, result)
        return result

    def log_cdf(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log of the probability of no greater value: the base's between the bounds."""
        result = tails.log_cdf(self.base_dist, value)
        result = result if self.lower is None else torch.where(value < self.lower, -math.inf, result)
        return result if self.upper is None else torch.where(value >= self.upper, 0.0, result)

    def log_survival(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log of the probability of a greater value: the base's between the bounds."""
        result = tails.log_survival(self.base_dist, value)
        result = result if self.lower is None else torch.where(value < self.lower, 0.0, result)
        return result if self.upper is None else torch.where(value >= self.upper, -math.inf, result)

    def cdf(self, value: torch.Tensor) -> torch.Tensor:
        """Return the probability of no greater value."""
        return self.log_cdf(value).exp()

    def icdf(self, value: torch.Tensor) -> torch.Tensor:
        """Return the smallest value with at least this cdf."""
        return self._clamp(tails.icdf(self.base_dist, value))
