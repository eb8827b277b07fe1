"""Truncation: any distribution of one number with a distribution function, conditioned on lying between two bounds."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.distributions import constraints as torch_constraints

from pyroxene.distributions import constraints, tails
from pyroxene.distributions.tails import log_between
from pyroxene.distributions.torch_distribution import EMPTY, Size, TorchDistribution
from pyroxene.distributions.util import broadcast_shape
from pyroxene.errors import ParameterError

__all__ = [
    "Bound",
    "LeftTruncatedDistribution",
    "RightTruncatedDistribution",
    "Truncated",
    "TruncatedDistribution",
    "TwoSidedTruncatedDistribution",
    "as_bound",
]

Bound = torch.Tensor | float | None


class TruncatedDistribution(TorchDistribution):
    """A distribution conditioned on lying in [low, high].

    The density is f(x) / (F(high) - F(low)) between the bounds, with f and F the base's density and distribution
    function; for integers F(low - 1) takes the place of F(low). Probabilities are taken as logs in the tail where they
    are small, so bounds may lie as far out as floats reach. Samples are quantiles of uniform numbers and carry
    gradients to the parameters of a continuous base and to the bounds.

    Mean and variance are those of a subclass that knows them; the quantile function gives others by quadrature.

    Args:
        base_dist: a distribution of one number with a distribution function, shape batch_shape.
        low: lower bound, itself possible; None for none; shape batch_shape.
        high: upper bound, itself possible; None for none; shape batch_shape.
        validate_args: whether to check the arguments; None for the setting `validate_distributions_torch`.

    Support: the part of the base's support between the bounds.

    Raises:
        ParameterError: an event of the base is not one number, or low is not below high.

    Source: N. L. Johnson, S. Kotz and N. Balakrishnan (1994), Continuous Univariate Distributions, volume 1, section
        10.1.

    Example:
        >>> from pyroxene.distributions import Poisson
        >>> d = TruncatedDistribution(Poisson(1.0), low=1)
        >>> d.log_prob(torch.tensor([1.0, 2.0])).exp()
        tensor([0.5820, 0.2910])
    """

    arg_constraints: dict[str, constraints.Constraint] = {}

    def __init__(
        self, base_dist: Any, low: Bound = None, high: Bound = None, *, validate_args: bool | None = None
    ) -> None:
        if base_dist.event_shape:
            raise ParameterError(
                f"{type(self).__name__} truncates distributions of one number",
                expected="a base of event_shape ()",
                got=f"event_shape {tuple(base_dist.event_shape)}",
                hint="truncate first, then call to_event",
            )
        low, high = (as_bound(base_dist, end) for end in (low, high))
        if base_dist.support.is_discrete:
            low = None if low is None else low.ceil()
            high = None if high is None else high.floor()
        shapes = [end.shape for end in (low, high) if end is not None]
        batch_shape = torch.Size(broadcast_shape(base_dist.batch_shape, *shapes))
        self.base_dist = base_dist if base_dist.batch_shape == batch_shape else base_dist.expand(batch_shape)
        self.low = None if low is None else low.expand(batch_shape)
        self.high = None if high is None else high.expand(batch_shape)
        super().__init__(batch_shape, EMPTY, validate_args=validate_args)
        if self._validate_args and self.low is not None and self.high is not None:
            is_discrete = base_dist.support.is_discrete
            if not bool(((self.low <= self.high) if is_discrete else (self.low < self.high)).all()):
                raise ParameterError(
                    f"the bounds of {type(self).__name__} leave nothing between them",
                    expected="low < high",
                    got=f"low {self.low.tolist()}, high {self.high.tolist()}",
                )

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]
        """Whether samples carry gradients: where values are real."""
        return not self.base_dist.support.is_discrete

    @constraints.dependent_property(event_dim=0)
    def support(self) -> Any:
        """The part of the base's support between the bounds."""
        base = self.base_dist.support
        low = _tighter(torch.maximum, self.low, getattr(base, "lower_bound", None))
        high = _tighter(torch.minimum, self.high, getattr(base, "upper_bound", None))
        if base.is_discrete:
            if low is None or high is None:
                return (
                    base
                    if low is None and high is None
                    else torch_constraints._IntegerLessThan(high)
                    if low is None
                    else torch_constraints._IntegerGreaterThan(low)
                )
            return constraints.integer_interval(low, high)
        if self.low is None and self.high is None:
            return base
        if low is None or high is None:
            return constraints.less_than(high) if low is None else constraints.greater_than_eq(low)
        return constraints.interval(low, high)

    def expand(self, batch_shape: Size, _instance: Any = None) -> Any:
        """Return the distribution with a larger batch shape."""
        new = self.__new__(type(self)) if _instance is None else _instance
        batch_shape = torch.Size(batch_shape)
        new.base_dist = self.base_dist.expand(batch_shape)
        new.low = None if self.low is None else self.low.expand(batch_shape)
        new.high = None if self.high is None else self.high.expand(batch_shape)
        TorchDistribution.__init__(new, batch_shape, EMPTY, validate_args=False)
        new._validate_args = self._validate_args
        return new

    def _exclusive_low(self) -> torch.Tensor | None:
        """The greatest value below the support: low itself where single values have no mass."""
        if self.low is None or not self.base_dist.support.is_discrete:
            return self.low
        return self.low - 1

    def log_mass(self) -> torch.Tensor:
        """Log of the base's probability between the bounds, shape batch_shape."""
        if self.low is None and self.high is None:
            return torch.zeros_like(_prototype(self.base_dist)).expand(self._batch_shape)
        return log_between(self.base_dist, self._exclusive_low(), self.high)

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log density; -inf outside of the bounds."""
        if self._validate_args:
            self._validate_sample(value)
        inside = _within(value, self.low, self.high)
        log_density = self.base_dist.log_prob(_clamp(value, self.low, self.high))
        return torch.where(inside, log_density - self.log_mass(), -math.inf)

    def log_cdf(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log of the probability of no greater value, finite in the tails."""
        low = self._exclusive_low()
        above = torch.ones_like(value, dtype=torch.bool) if low is None else value > low
        below = torch.ones_like(above) if self.high is None else value < self.high
        safe = _clamp(torch.where(above, value, self._inner(value)), None, self.high)
        log_cdf = log_between(self.base_dist, low, safe) - self.log_mass()
        return torch.where(above, torch.where(below, log_cdf, 0.0), -math.inf)

    def log_survival(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log of the probability of a greater value, finite in the tails."""
        low = self._exclusive_low()
        above = torch.ones_like(value, dtype=torch.bool) if low is None else value > low
        below = torch.ones_like(above) if self.high is None else value < self.high
        safe = torch.where(below, _clamp(value, low, None), self._inner(value))
        log_survival = log_between(self.base_dist, safe, self.high) - self.log_mass()
        return torch.where(below, torch.where(above, log_survival, 0.0), -math.inf)

    def _inner(self, like: torch.Tensor) -> torch.Tensor:
        """A number between the bounds, in the shape of value and batch."""
        low, high = self._exclusive_low(), self.high
        shape = torch.broadcast_shapes(like.shape, self._batch_shape)
        if low is None:
            return torch.zeros(shape, dtype=like.dtype) if high is None else (high - 1).expand(shape)
        return (low + 1).expand(shape) if high is None else ((low + high) / 2).expand(shape)

    def cdf(self, value: torch.Tensor) -> torch.Tensor:
        """Return the probability of no greater value."""
        return self.log_cdf(value).exp()

    def icdf(self, value: torch.Tensor) -> torch.Tensor:
        """Return the smallest value with at least this cdf."""
        return tails.icdf(self, value)

    def _inverse_cdf(self, log_cdf: torch.Tensor, log_survival: torch.Tensor) -> torch.Tensor:
        """The quantile, from the base's: each of its tails is the part cut off plus a share of the rest."""
        mass, base, low = self.log_mass(), self.base_dist, self._exclusive_low()
        lower, upper = log_cdf + mass, log_survival + mass
        if low is not None:
            lower = torch.logaddexp(lower, tails.log_cdf(base, low))
        if self.high is not None:
            upper = torch.logaddexp(upper, tails.log_survival(base, self.high))
        lower, upper = torch.broadcast_tensors(lower.clamp(max=0), upper.clamp(max=0))
        high = self.high
        if high is not None and low is None and not base.support.is_discrete:
            high = torch.nextafter(high, torch.full_like(high, -math.inf))  # the support is open above
        return _clamp(tails.inverse(base, lower, upper), self.low, high)

    def rsample(self, sample_shape: Size = EMPTY) -> torch.Tensor:
        """Draw a sample as a quantile; first-order gradients reach parameters and bounds."""
        return self._draw(sample_shape)

    def sample(self, sample_shape: Size = EMPTY) -> torch.Tensor:
        """Draw a sample without gradients."""
        with torch.no_grad():
            return self._draw(sample_shape)

    def _draw(self, sample_shape: Size) -> torch.Tensor:
        like = self.log_mass().detach()
        shape = self._extended_shape(torch.Size(sample_shape))
        uniform = torch.rand(shape, dtype=like.dtype, device=like.device).clamp(min=torch.finfo(like.dtype).tiny)
        return tails.inverse(self, uniform.log(), torch.log1p(-uniform))


class LeftTruncatedDistribution(TruncatedDistribution):
    """A distribution conditioned on values of at least `low`; the density is f(x) / (1 - F(low)) there.

    Args:
        base_dist: a distribution of one number with a distribution function, shape batch_shape.
        low: lower bound, shape batch_shape.
        validate_args: whether to check the arguments; None for the setting `validate_distributions_torch`.

    Support: the base's from low on. For moments and source see `TruncatedDistribution`.

    Example:
        >>> from pyroxene.distributions import Normal
        >>> LeftTruncatedDistribution(Normal(0.0, 1.0), 10.0).log_prob(torch.tensor(10.0))
        tensor(2.3123)
    """

    def __init__(self, base_dist: Any, low: torch.Tensor | float = 0.0, *, validate_args: bool | None = None) -> None:
        super().__init__(base_dist, low=low, validate_args=validate_args)


class RightTruncatedDistribution(TruncatedDistribution):
    """A distribution conditioned on values of at most `high`; the density is f(x) / F(high) there.

    Args:
        base_dist: a distribution of one number with a distribution function, shape batch_shape.
        high: upper bound, shape batch_shape.
        validate_args: whether to check the arguments; None for the setting `validate_distributions_torch`.

    Support: the base's up to high. For moments and source see `TruncatedDistribution`.

    Example:
        >>> from pyroxene.distributions import Normal
        >>> RightTruncatedDistribution(Normal(0.0, 1.0), 0.0).log_prob(torch.tensor(-1.0))
        tensor(-0.7258)
    """

    def __init__(self, base_dist: Any, high: torch.Tensor | float = 0.0, *, validate_args: bool | None = None) -> None:
        super().__init__(base_dist, high=high, validate_args=validate_args)


class TwoSidedTruncatedDistribution(TruncatedDistribution):
    """A distribution conditioned on lying in [low, high]; the density is f(x) / (F(high) - F(low)) there.

    Args:
        base_dist: a distribution of one number with a distribution function, shape batch_shape.
        low: lower bound, shape batch_shape.
        high: upper bound, greater than low, shape batch_shape.
        validate_args: whether to check the arguments; None for the setting `validate_distributions_torch`.

    Support: the base's between the bounds. For moments and source see `TruncatedDistribution`.

    Example:
        >>> from pyroxene.distributions import Normal
        >>> TwoSidedTruncatedDistribution(Normal(0.0, 1.0), 3.0, 4.0).log_prob(torch.tensor(3.0))
        tensor(1.2125)
    """

    def __init__(
        self,
        base_dist: Any,
        low: torch.Tensor | float = 0.0,
        high: torch.Tensor | float = 1.0,
        *,
        validate_args: bool | None = None,
    ) -> None:
        super().__init__(base_dist, low=low, high=high, validate_args=validate_args)


Truncated = TruncatedDistribution


def as_bound(base: Any, end: Bound) -> torch.Tensor | None:
    """A bound as a tensor; a number of the base's dtype, None where it is infinite."""
    if end is None or isinstance(end, torch.Tensor):
        return end
    if math.isinf(end):
        return None
    like = _prototype(base)
    return torch.as_tensor(end, dtype=like.dtype, device=like.device)


def _prototype(d: Any) -> torch.Tensor:
    """A tensor of shape () with the dtype and device of a distribution's parameters."""
    while True:
        own = (part for part in vars(d).values() if isinstance(part, torch.Tensor) and part.is_floating_point())
        found = next(own, None)
        if found is not None or not hasattr(d, "base_dist"):
            return torch.zeros(()) if found is None else found.new_zeros(())
        d = d.base_dist


def _tighter(choose: Any, own: torch.Tensor | None, bases: Any) -> Any:
    """The tighter of a bound and the base's; either may be absent."""
    if own is None:
        return None if bases is None or (not isinstance(bases, torch.Tensor) and math.isinf(bases)) else bases
    return own if bases is None else choose(own, torch.as_tensor(bases, dtype=own.dtype, device=own.device))


def _within(value: torch.Tensor, low: torch.Tensor | None, high: torch.Tensor | None) -> torch.Tensor:
    inside = torch.ones_like(value, dtype=torch.bool) if low is None else value >= low
    return inside if high is None else inside & (value <= high)


def _clamp(value: torch.Tensor, low: torch.Tensor | None, high: torch.Tensor | None) -> torch.Tensor:
    value = value if low is None else torch.where(value < low, low, value)
    return value if high is None else torch.where(value > high, high, value)
