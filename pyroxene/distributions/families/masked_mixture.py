"""MaskedMixture: entry by entry one of two distributions, by a mask."""

from __future__ import annotations

from typing import Any

import torch

from pyroxene.distributions import constraints
from pyroxene.distributions.torch_distribution import EMPTY, Size, TorchDistribution
from pyroxene.distributions.transforms import transform_to
from pyroxene.distributions.util import broadcast_shape
from pyroxene.errors import NoTransformError, ParameterError, ShapeError

__all__ = ["MaskedMixture"]


class _Chosen(constraints.Constraint):
    """One of two constraints, by a mask."""

    def __init__(self, mask: torch.Tensor, constraint0: Any, constraint1: Any) -> None:
        self._mask = mask
        self._constraint0 = constraint0
        self._constraint1 = constraint1

    @property
    def is_discrete(self) -> bool:  # type: ignore[override]
        return bool(self._constraint0.is_discrete or self._constraint1.is_discrete)

    @property
    def event_dim(self) -> int:  # type: ignore[override]
        return int(self._constraint0.event_dim)

    def check(self, value: torch.Tensor) -> torch.Tensor:
        return torch.where(self._mask, self._constraint1.check(value), self._constraint0.check(value))


class MaskedMixture(TorchDistribution):
    """Distribution that is `component1` where a mask is True and `component0` where it is False.

    The density is component1's where mask, else component0's; so are mean and variance.

    Args:
        mask: boolean tensor; it broadcasts with the batch shapes of the components.
        component0: distribution where the mask is False.
        component1: distribution where the mask is True, of the same event shape.
        validate_args: whether to check values; None for the setting `validate_distributions_torch`.

    Support: that of the component chosen. Where the two differ there is no bijection from unconstrained space.

    Raises:
        ParameterError: the mask is not a boolean tensor.
        ShapeError: the event shapes differ.

    Source: the definition.

    Example:
        >>> from pyroxene.distributions import Cauchy, Normal
        >>> d = MaskedMixture(torch.tensor([True, False]), Normal(0.0, 1.0), Cauchy(0.0, 1.0))
        >>> d.log_prob(torch.tensor(1.0))
        tensor([-1.8379, -1.4189])
    """

    arg_constraints: dict[str, constraints.Constraint] = {}

    def __init__(self, mask: torch.Tensor, component0: Any, component1: Any, validate_args: bool | None = None) -> None:
        if not isinstance(mask, torch.Tensor) or mask.dtype != torch.bool:
            raise ParameterError(f"Expected mask to be a BoolTensor but got {type(mask)}", got=mask)
        if component0.event_shape != component1.event_shape:
            raise ShapeError(
                f"components event_shape disagree: {tuple(component0.event_shape)} vs {tuple(component1.event_shape)}",
                hint="declare the same number of dimensions with to_event",
            )
        shape = torch.Size(broadcast_shape(mask.shape, component0.batch_shape, component1.batch_shape))
        self.is_component1 = mask.expand(shape)  # `mask` is the method of every distribution
        self.component0 = component0 if component0.batch_shape == shape else component0.expand(shape)
        self.component1 = component1 if component1.batch_shape == shape else component1.expand(shape)
        super().__init__(shape, component0.event_shape, validate_args=validate_args)

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]
        """Whether both components' samples are reparameterised."""
        return self.component0.has_rsample and self.component1.has_rsample

    @constraints.dependent_property
    def support(self) -> Any:
        """The support of the chosen component."""
        first, second = self.component0.support, self.component1.support
        return first if first is second else _Chosen(self.is_component1, first, second)

    def expand(self, batch_shape: Size, _instance: Any = None) -> MaskedMixture:
        """Return the distribution with a larger batch shape."""
        new = self._get_checked_instance(MaskedMixture, _instance)
        batch_shape = torch.Size(batch_shape)
        new.is_component1 = self.is_component1.expand(batch_shape)
        new.component0 = self.component0.expand(batch_shape)
        new.component1 = self.component1.expand(batch_shape)
        TorchDistribution.__init__(new, batch_shape, self._event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    def _choose(self, when_false: torch.Tensor, when_true: torch.Tensor) -> torch.Tensor:
        """Choose between tensors of an event each."""
        return torch.where(self.is_component1.reshape(self._batch_shape + (1,) * self.event_dim), when_true, when_false)

    def sample(self, sample_shape: Size = EMPTY) -> torch.Tensor:
        """Draw from both components and choose."""
        return self._choose(self.component0.sample(sample_shape), self.component1.sample(sample_shape))

    def rsample(self, sample_shape: Size = EMPTY) -> torch.Tensor:
        """Draw from both components and choose; gradients reach the parameters of the one chosen."""
        return self._choose(self.component0.rsample(sample_shape), self.component1.rsample(sample_shape))

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log density of the chosen component; the other one is asked about a value it can have."""
        if self._validate_args:
            self._validate_sample(value)
        first = self.component0.log_prob(self._choose(value, _possible(self.component0, value)))
        second = self.component1.log_prob(self._choose(_possible(self.component1, value), value))
        return torch.where(self.is_component1, second, first)

    @property
    def mean(self) -> torch.Tensor:
        """The chosen component's mean, shape (*batch_shape, *event_shape)."""
        return self._choose(self.component0.mean, self.component1.mean)

    @property
    def variance(self) -> torch.Tensor:
        """The chosen component's variance, shape (*batch_shape, *event_shape)."""
        return self._choose(self.component0.variance, self.component1.variance)


def _possible(component: Any, value: torch.Tensor) -> torch.Tensor:
    """A value in a component's support, the same at each call."""
    support = component.support
    try:
        transform = transform_to(support)
    except NoTransformError:  # discrete: the smallest value
        start = getattr(getattr(support, "base_constraint", support), "lower_bound", 0)
        return torch.zeros(component.shape(), dtype=value.dtype, device=value.device) + start
    shape = transform.inverse_shape(component.shape())
    return transform(torch.zeros(shape, dtype=value.dtype, device=value.device)).to(value.dtype)
