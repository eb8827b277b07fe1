"""Distributions with a batch and an event shape: the mixin, and the three wrappers that its methods make.

The mixin's `to_event`, `mask` and `expand` make the wrappers and the wrappers bear the mixin, so they share a file.
"""

from __future__ import annotations

import inspect
from typing import Any

import torch
import torch.distributions as torchdist

from pyroxene.distributions import constraints
from pyroxene.distributions.adoption import AdoptsBase, declare
from pyroxene.distributions.distribution import Distribution
from pyroxene.distributions.score_parts import ScoreParts
from pyroxene.distributions.tails import complete
from pyroxene.distributions.util import broadcast_shape, is_identically_zero, scale_and_mask, sum_rightmost
from pyroxene.errors import ParameterError, ShapeError, SupportError, UsageError

__all__ = [
    "ExpandedDistribution",
    "Independent",
    "MaskedDistribution",
    "TorchDistribution",
    "TorchDistributionMixin",
    "validate_sample",
]

EMPTY = torch.Size()
Size = torch.Size | list[int] | tuple[int, ...]


class TorchDistributionMixin(Distribution):
    """Abstract: adds pyroxene's methods to a torch distribution.

    Shapes read from left to right: sample_shape (independent draws), batch_shape (independent but not identically
    distributed), event_shape (dependent). `log_prob` sums over the event and keeps the rest.

    Implementing a distribution on a class of torch's: inherit from that class first and from this mixin second.
    """

    _batch_shape: torch.Size
    _event_shape: torch.Size

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        declare(cls)
        complete(cls)

    def __call__(self, sample_shape: Size = EMPTY) -> torch.Tensor:
        """Draw a sample, reparameterised where `has_rsample`.

        Args:
            sample_shape: how many independent draws.

        Returns:
            A sample, (*sample_shape, *batch_shape, *event_shape).
        """
        return self.rsample(sample_shape) if self.has_rsample else self.sample(sample_shape)  # type: ignore[attr-defined]

    @property
    def event_dim(self) -> int:
        """The number of dimensions of one event."""
        return len(self._event_shape)

    def shape(self, sample_shape: Size = EMPTY) -> torch.Size:
        """Return the shape of a sample: (*sample_shape, *batch_shape, *event_shape).

        Example:
            >>> from pyroxene.distributions import Normal
            >>> Normal(torch.zeros(3), 1.0).shape((2,))
            torch.Size([2, 3])
        """
        return torch.Size(sample_shape) + self._batch_shape + self._event_shape

    @classmethod
    def infer_shapes(cls, *args: Any, **arg_shapes: Any) -> tuple[torch.Size, torch.Size]:
        """Work out batch and event shape from the shapes of the arguments, without making a distribution.

        Args:
            args: the shapes of the arguments, in their order; or
            arg_shapes: the shape of each argument, by the argument's name.

        Returns:
            (batch_shape, event_shape).

        Raises:
            NotImplementedError: the event shape does not follow from constraints alone; such a class overrides this.
            ShapeError: the shapes do not broadcast.

        Example:
            >>> from pyroxene.distributions import Normal
            >>> Normal.infer_shapes(loc=(2, 1), scale=(3,))
            (torch.Size([2, 3]), torch.Size([]))
        """
        if cls.support.event_dim > 0:  # type: ignore[attr-defined]
            raise NotImplementedError(f"{cls.__name__} cannot infer its event shape from its arguments' shapes")
        if args:
            arg_shapes.update(zip(inspect.signature(cls).parameters, args))
        batch_shapes = []
        for name, shape in arg_shapes.items():
            constraint = cls.arg_constraints.get(name)  # type: ignore[attr-defined]
            event_dim = 0 if constraint is None else constraint.event_dim
            batch_shapes.append(tuple(shape)[: len(shape) - event_dim])
        return torch.Size(broadcast_shape(*batch_shapes)), EMPTY

    def expand(self, batch_shape: Size, _instance: Any = None) -> Any:
        """Return the distribution with a larger batch shape; the new entries are independent.

        Args:
            batch_shape: a shape that the present batch shape broadcasts to.

        Returns:
            A distribution of the same class where the class knows how, else an `ExpandedDistribution`.
        """
        return ExpandedDistribution(self, batch_shape)

    def expand_by(self, sample_shape: Size) -> Any:
        """Return the distribution expanded on the left: batch shape (*sample_shape, *batch_shape).

        Example:
            >>> from pyroxene.distributions import Normal
            >>> Normal(torch.zeros(3), 1.0).expand_by([2]).batch_shape
            torch.Size([2, 3])
        """
        return self.expand(torch.Size(sample_shape) + self._batch_shape)

    def to_event(self, reinterpreted_batch_ndims: int | None = None) -> Any:
        """Declare the rightmost batch dimensions dependent, so that `log_prob` sums over them.

        Args:
            reinterpreted_batch_ndims: how many dimensions move from batch to event; None for all, negative to move
                back what an earlier `to_event` moved.

        Returns:
            An `Independent`, or the distribution itself where nothing moves.

        Raises:
            ShapeError: fewer dimensions are there to move.

        Example:
            >>> from pyroxene.distributions import Normal
            >>> d = Normal(torch.zeros(2, 3), 1.0).to_event(1)
            >>> d.batch_shape, d.event_shape, d.log_prob(torch.zeros(3)).shape
            (torch.Size([2]), torch.Size([3]), torch.Size([2]))
        """
        count = len(self._batch_shape) if reinterpreted_batch_ndims is None else reinterpreted_batch_ndims
        if count == 0:
            return self
        base: Any = self
        while isinstance(base, torchdist.Independent):
            count += base.reinterpreted_batch_ndims
            base = base.base_dist
        if count == 0:
            return base
        if not 0 < count <= len(base.batch_shape):
            raise ShapeError(
                f"Cannot remove event dimensions from {type(base).__name__}"
                if count < 0
                else f"Expected reinterpreted_batch_ndims <= len(base_distribution.batch_shape), "
                f"actual {count} vs {len(base.batch_shape)}",
                expected=f"between {-len(self._event_shape)} and {len(self._batch_shape)} dimensions to move",
                got=f"{reinterpreted_batch_ndims}, batch_shape {tuple(self._batch_shape)}, "
                f"event_shape {tuple(self._event_shape)}",
                hint="expand the distribution first, or move fewer dimensions",
            )
        return Independent(base, count)

    def independent(self, reinterpreted_batch_ndims: int | None = None) -> Any:
        """The old name of `to_event`."""
        return self.to_event(reinterpreted_batch_ndims)

    def reshape(self, sample_shape: Size | None = None, extra_event_dims: int | None = None) -> Any:
        """Raise: `expand_by` and `to_event` took this method's place."""
        raise UsageError(
            "reshape(sample_shape=s, extra_event_dims=n) was renamed and split",
            hint="call expand_by(sample_shape=s).to_event(reinterpreted_batch_ndims=n)",
        )

    def mask(self, mask: torch.Tensor | bool) -> MaskedDistribution:
        """Return the distribution with log densities replaced by zero where the mask is False.

        Args:
            mask: a bool, or a boolean tensor that broadcasts with the batch shape. False for all costs nothing:
                the density is not evaluated.

        Example:
            >>> from pyroxene.distributions import Normal
            >>> Normal(0.0, 1.0).mask(torch.tensor([True, False])).log_prob(torch.tensor(0.0))
            tensor([-0.9189,  0.0000])
        """
        return MaskedDistribution(self, mask)


def validate_sample(self: Any, value: torch.Tensor) -> None:
    """Check a value as torch does, and raise errors of our own.

    Raises:
        SupportError: a value lies outside the support.
        ShapeError: the value's shape does not fit batch and event shape.
    """
    try:
        torchdist.Distribution._validate_sample(self, value)
    except ValueError as error:
        if "within the support" in str(error):
            raise SupportError(str(error), hint="look at the data, or choose another distribution") from error
        raise ShapeError(str(error)) from error


class TorchDistribution(torchdist.Distribution, TorchDistributionMixin):
    """Abstract: the base of distributions that are not torch's own.

    Args:
        batch_shape: shape of independent parameters.
        event_shape: shape of one event.
        validate_args: whether to check arguments and values; None for the setting `validate_distributions_torch`.

    Implementing a distribution:
        - Declare `arg_constraints`, a dict from argument to constraint, and `support`.
        - Set each tensor argument as an attribute, then call `super().__init__(batch_shape, event_shape,
          validate_args=validate_args)`.
        - Define `log_prob`, which begins `if self._validate_args: self._validate_sample(value)`, and `sample` or, with
          `has_rsample = True`, `rsample`.
        - Define `expand`, by `self._get_checked_instance(Class, _instance)`, if the expanded distribution is of the
          same class; otherwise an `ExpandedDistribution` serves.
        - Define `infer_shapes` where an event is not a scalar.
    """

    def __init__(
        self, batch_shape: torch.Size = EMPTY, event_shape: torch.Size = EMPTY, validate_args: bool | None = None
    ) -> None:
        try:
            super().__init__(batch_shape, event_shape, validate_args=validate_args)
        except ValueError as error:
            if isinstance(error, ParameterError):
                raise
            raise ParameterError(str(error), hint="transform the argument into its constraint") from error

    _validate_sample = validate_sample

    def expand(self, batch_shape: Size, _instance: Any = None) -> Any:
        """Return the distribution with a larger batch shape; see `TorchDistributionMixin.expand`."""
        return ExpandedDistribution(self, batch_shape)


class Independent(torchdist.Independent[Any], AdoptsBase, TorchDistributionMixin):
    """A distribution with its rightmost batch dimensions counted as event dimensions; `to_event` makes it.

    Args:
        base_distribution: any distribution.
        reinterpreted_batch_ndims: how many batch dimensions become event dimensions.
        validate_args: whether to check values; None for what the base distribution does.
    """

    def __init__(
        self, base_distribution: Any, reinterpreted_batch_ndims: int, validate_args: bool | None = None
    ) -> None:
        if validate_args is None:  # the base checks the values; once is enough
            validate_args = base_distribution._validate_args
        super().__init__(base_distribution, reinterpreted_batch_ndims, validate_args=validate_args)

    def expand(self, batch_shape: Size, _instance: Any = None) -> Independent:
        """Return the distribution with a larger batch shape."""
        new = self.__new__(type(self)) if _instance is None else _instance
        return super().expand(batch_shape, _instance=new)

    def has_rsample_(self, value: bool) -> Independent:
        """Set whether samples of the base distribution are reparameterised, in place."""
        self.base_dist.has_rsample_(value)
        return self

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the base's log density, summed over the reinterpreted dimensions."""
        return sum_rightmost(self.base_dist.log_prob(value), self.reinterpreted_batch_ndims)

    def score_parts(self, x: torch.Tensor) -> ScoreParts:
        """Return the base distribution's parts, each summed over the reinterpreted dimensions."""
        parts = self.base_dist.score_parts(x)
        return ScoreParts(*(sum_rightmost(part, self.reinterpreted_batch_ndims) for part in parts))

    def conjugate_update(self, other: Any) -> tuple[Any, torch.Tensor]:
        """Multiply by a conjugate distribution of the same shape, dimension by dimension."""
        count = self.reinterpreted_batch_ndims
        updated, log_normalizer = self.base_dist.conjugate_update(other.to_event(-count))
        return updated.to_event(count), sum_rightmost(log_normalizer, count)


class _Wrapper(TorchDistribution):
    """Abstract: a distribution that changes how another, `base_dist`, is batched or scored."""

    arg_constraints: dict[str, constraints.Constraint] = {}
    base_dist: Any

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]
        """Whether the base distribution's samples are reparameterised."""
        return self.base_dist.has_rsample

    @property
    def has_enumerate_support(self) -> bool:  # type: ignore[override]
        """Whether the base distribution's support can be listed."""
        return self.base_dist.has_enumerate_support

    def has_rsample_(self, value: bool) -> Any:
        """Set whether samples of the base distribution are reparameterised, in place."""
        self.base_dist.has_rsample_(value)
        return self

    @constraints.dependent_property
    def support(self) -> constraints.Constraint:
        """The base distribution's support."""
        return self.base_dist.support

    def cdf(self, value: torch.Tensor) -> torch.Tensor:
        """Return the base distribution's probability of at most a value."""
        return self.base_dist.cdf(value)

    def icdf(self, value: torch.Tensor) -> torch.Tensor:
        """Return the base distribution's quantiles."""
        return self.base_dist.icdf(value)

    def log_cdf(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log of `cdf`."""
        return self.base_dist.log_cdf(value)

    def log_survival(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log of the base distribution's probability of more than a value."""
        return self.base_dist.log_survival(value)


class MaskedDistribution(_Wrapper):
    """A distribution whose log density is zero where a mask is False; `mask` makes it.

    Args:
        base_dist: any distribution.
        mask: a bool, or a boolean tensor that broadcasts with the base's batch shape.

    Raises:
        ShapeError: mask and batch shape do not broadcast.
    """

    def __init__(self, base_dist: Any, mask: torch.Tensor | bool) -> None:
        if not isinstance(mask, bool):
            if not isinstance(mask, torch.Tensor):
                raise UsageError("a mask is a bool or a boolean tensor", got=mask)
            batch_shape = torch.Size(broadcast_shape(mask.shape, base_dist.batch_shape))
            mask = mask.expand(batch_shape).bool()
            if base_dist.batch_shape != batch_shape:
                base_dist = base_dist.expand(batch_shape)
        self.base_dist = base_dist
        self._mask = mask
        super().__init__(base_dist.batch_shape, base_dist.event_shape, validate_args=False)

    def expand(self, batch_shape: Size, _instance: Any = None) -> MaskedDistribution:
        """Return the distribution and its mask with a larger batch shape."""
        batch_shape = torch.Size(batch_shape)
        mask = self._mask if isinstance(self._mask, bool) else self._mask.expand(batch_shape)
        new = self.__new__(type(self)) if _instance is None else _instance
        MaskedDistribution.__init__(new, self.base_dist.expand(batch_shape), mask)
        return new

    def sample(self, sample_shape: Size = EMPTY) -> torch.Tensor:
        """Draw from the base distribution, masked or not."""
        return self.base_dist.sample(sample_shape)

    def rsample(self, sample_shape: Size = EMPTY) -> torch.Tensor:
        """Draw a reparameterised sample from the base distribution, masked or not."""
        return self.base_dist.rsample(sample_shape)

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the base's log density where the mask is True and zero elsewhere."""
        if self._mask is False:
            shape = broadcast_shape(value.shape[: value.dim() - self.event_dim], self._batch_shape)
            dtype = value.dtype if value.is_floating_point() else None
            return torch.zeros((), dtype=dtype, device=value.device).expand(shape)
        return scale_and_mask(self.base_dist.log_prob(value), mask=self._mask)  # type: ignore[return-value]

    def score_parts(self, x: torch.Tensor) -> ScoreParts:
        """Return the base's parts, masked but for the score function."""
        if self._mask is False:
            return super().score_parts(x)  # all of it zero
        return self.base_dist.score_parts(x).scale_and_mask(mask=self._mask)

    def enumerate_support(self, expand: bool = True) -> torch.Tensor:
        """Return all values of the base distribution."""
        return self.base_dist.enumerate_support(expand=expand)

    @property
    def mean(self) -> torch.Tensor:
        """The base distribution's mean."""
        return self.base_dist.mean

    @property
    def variance(self) -> torch.Tensor:
        """The base distribution's variance."""
        return self.base_dist.variance

    def conjugate_update(self, other: Any) -> tuple[Any, torch.Tensor]:
        """Update the base distribution and mask the result; what is masked has a log normalizer of zero."""
        updated, log_normalizer = self.base_dist.conjugate_update(other)
        return updated.mask(self._mask), scale_and_mask(log_normalizer, mask=self._mask)  # type: ignore[return-value]

    def __repr__(self) -> str:
        mask = self._mask if isinstance(self._mask, bool) else tuple(self._mask.shape)
        return f"MaskedDistribution({self.base_dist}, mask: {mask})"


def _expanded(old: torch.Size, new: Size) -> torch.Size:
    """The new batch shape, if the old one broadcasts to it."""
    if len(old) > len(new) or any(a not in (1, b) for a, b in zip(reversed(old), reversed(new))):
        raise ShapeError(
            f"Cannot broadcast distribution of shape {tuple(old)} to shape {tuple(new)}",
            hint="expand to a shape that ends in the present batch shape, where a 1 may grow",
        )
    return torch.Size(new)


class ExpandedDistribution(_Wrapper):
    """A distribution expanded to a larger batch shape by drawing more samples of a base that cannot expand itself.

    Args:
        base_dist: any distribution.
        batch_shape: a shape that the base's batch shape broadcasts to.

    Raises:
        ShapeError: it does not.
    """

    def __init__(self, base_dist: Any, batch_shape: Size = EMPTY) -> None:
        self.base_dist = base_dist
        super().__init__(_expanded(base_dist.batch_shape, batch_shape), base_dist.event_shape, validate_args=False)

    def expand(self, batch_shape: Size, _instance: Any = None) -> ExpandedDistribution:
        """Return the base distribution with a still larger batch shape."""
        new = self.__new__(type(self)) if _instance is None else _instance
        ExpandedDistribution.__init__(new, self.base_dist, _expanded(self._batch_shape, batch_shape))
        return new

    def _spread(self, draw: Any, sample_shape: Size) -> torch.Tensor:
        """Draw once for each new batch entry and put the draws into their places."""
        old, new = self.base_dist.batch_shape, self._batch_shape
        lead = len(new) - len(old)
        stretched = [i for i in reversed(range(len(old))) if old[i] != new[lead + i]]
        extra = torch.Size(new[lead + i] for i in stretched)
        first = len(sample_shape) + lead  # where the draws for stretched dimensions begin
        value = draw(torch.Size(sample_shape) + new[:lead] + extra)
        for k, i in enumerate(stretched):
            value = value.transpose(first + k, first + len(extra) + i)
        return value.reshape(self.shape(sample_shape))

    def sample(self, sample_shape: Size = EMPTY) -> torch.Tensor:
        """Draw a sample, new for each entry of the batch."""
        return self._spread(self.base_dist.sample, sample_shape)

    def rsample(self, sample_shape: Size = EMPTY) -> torch.Tensor:
        """Draw a reparameterised sample, new for each entry of the batch."""
        return self._spread(self.base_dist.rsample, sample_shape)

    def _over_batch(self, part: torch.Tensor | float) -> torch.Tensor | float:
        if is_identically_zero(part) or not isinstance(part, torch.Tensor):
            return part
        return part.expand(broadcast_shape(part.shape, self._batch_shape))

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the base's log density, expanded to the batch shape."""
        return self._over_batch(self.base_dist.log_prob(value))  # type: ignore[return-value]

    def score_parts(self, x: torch.Tensor) -> ScoreParts:
        """Return the base's parts, expanded to the batch shape."""
        return ScoreParts(*(self._over_batch(part) for part in self.base_dist.score_parts(x)))

    def enumerate_support(self, expand: bool = True) -> torch.Tensor:
        """Return all values of the base distribution along a new first dimension."""
        values = self.base_dist.enumerate_support(expand=False)
        missing = len(self._batch_shape) - len(self.base_dist.batch_shape)
        values = values.reshape(values.shape[:1] + (1,) * missing + values.shape[1:])
        return values.expand(values.shape[:1] + self.shape()) if expand else values

    @property
    def mean(self) -> torch.Tensor:
        """The base distribution's mean, expanded."""
        return self.base_dist.mean.expand(self.shape())

    @property
    def variance(self) -> torch.Tensor:
        """The base distribution's variance, expanded."""
        return self.base_dist.variance.expand(self.shape())

    def conjugate_update(self, other: Any) -> tuple[Any, torch.Tensor]:
        """Update the base distribution and expand the result."""
        updated, log_normalizer = self.base_dist.conjugate_update(other)
        return updated.expand(self._batch_shape), log_normalizer.expand(self._batch_shape)

    def __repr__(self) -> str:
        return f"ExpandedDistribution({self.base_dist}, {tuple(self._batch_shape)})"
