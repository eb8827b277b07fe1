"""Distributions and transforms that depend on a context: `condition` takes the context and gives a plain one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch.distributions import Distribution
from torch.distributions.transforms import Transform

from pyroxene.distributions.torch.composed import TransformedDistribution
from pyroxene.distributions.torch.transformed import clear_cache
from pyroxene.distributions.torch_transform import ComposeTransformModule

__all__ = [
    "ConditionalComposeTransformModule",
    "ConditionalDistribution",
    "ConditionalTransform",
    "ConditionalTransformModule",
    "ConditionalTransformedDistribution",
    "ConditionedNetwork",
    "ConstantConditionalDistribution",
    "ConstantConditionalTransform",
]


class ConditionalDistribution(ABC):
    """Abstract: a function from contexts to distributions.

    Implementing a ConditionalDistribution: define `condition(context)`.
    """

    @abstractmethod
    def condition(self, context: torch.Tensor) -> Any:
        """Return the distribution at a context.

        Args:
            context: what the distribution depends on, shape (..., context_dim).
        """


class ConditionalTransform(ABC):
    """Abstract: a function from contexts to transforms.

    Implementing a ConditionalTransform: define `condition(context)`.
    """

    @abstractmethod
    def condition(self, context: torch.Tensor) -> Transform:
        """Return the transform at a context.

        Args:
            context: what the transform depends on, shape (..., context_dim); its batch dimensions broadcast with those
                of the values that are transformed.
        """


class ConditionalTransformModule(ConditionalTransform, torch.nn.Module):
    """Abstract: a conditional transform with learnable parameters, usually those of a network of the context.

    Register the parameters with `pyroxene.module("name", transform)`: `condition` returns a transform that uses them
    and does not own them.

    Implementing a ConditionalTransformModule: create parameters in `__init__` after `super().__init__()`; define
    `condition(context)`.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)

    def __hash__(self) -> int:
        return torch.nn.Module.__hash__(self)

    @property
    def inv(self) -> ConditionalTransformModule:
        """The conditional transform whose `condition` returns the inverse."""
        return _Inverse(self)


class _Inverse(ConditionalTransformModule):
    """The inverse of a conditional transform; final."""

    def __init__(self, transform: ConditionalTransform) -> None:
        super().__init__()
        self.transform = transform

    @property
    def inv(self) -> ConditionalTransform:  # type: ignore[override] # what it was made of may be no module
        """The conditional transform that this one inverts."""
        return self.transform

    def condition(self, context: torch.Tensor) -> Transform:
        return self.transform.condition(context).inv


class ConstantConditionalDistribution(ConditionalDistribution):
    """A distribution that is the same at every context; final.

    Args:
        base_dist: the distribution.
    """

    def __init__(self, base_dist: Any) -> None:
        self.base_dist = base_dist

    def condition(self, context: torch.Tensor) -> Any:
        return self.base_dist


class ConstantConditionalTransform(ConditionalTransform):
    """A transform that is the same at every context; final.

    Args:
        transform: the transform.
    """

    def __init__(self, transform: Transform) -> None:
        self.transform = transform

    def condition(self, context: torch.Tensor) -> Transform:
        return self.transform

    def clear_cache(self) -> None:
        """Forget the values that the transform caches for its inverse."""
        clear_cache(self.transform)


def _conditional(transform: Transform | ConditionalTransform) -> ConditionalTransform:
    return transform if isinstance(transform, ConditionalTransform) else ConstantConditionalTransform(transform)


class ConditionalComposeTransformModule(ConditionalTransformModule, torch.nn.ModuleList):
    """A chain of transforms of which some or all depend on the context; final.

    Args:
        transforms: conditional and plain transforms, applied first to last; those that are modules are registered.
        cache_size: 1 keeps the last pair of values of each part, 0 leaves the parts as they are.

    Example:
        >>> from pyroxene.distributions import transforms
        >>> torch.manual_seed(0) and None
        >>> chain = ConditionalComposeTransformModule([transforms.conditional_planar(3, 2), transforms.radial(3)])
        >>> chain.condition(torch.ones(5, 2))(torch.zeros(5, 3)).shape
        torch.Size([5, 3])
    """

    def __init__(self, transforms: Sequence[Transform | ConditionalTransform], cache_size: int = 0) -> None:
        super().__init__()
        self.transforms = [_conditional(transform) for transform in transforms]
        self._cache_size = cache_size
        for transform in transforms:
            if isinstance(transform, torch.nn.Module):
                self.append(transform)

    def condition(self, context: torch.Tensor) -> ComposeTransformModule:
        parts = [transform.condition(context) for transform in self.transforms]
        return ComposeTransformModule(parts).with_cache(self._cache_size)


class ConditionalTransformedDistribution(ConditionalDistribution):
    """Distribution of a function of a random variable, either of which may depend on a context; final.

    Args:
        base_dist: a distribution or a ConditionalDistribution.
        transforms: a list of transforms and conditional transforms, applied first to last, or one of them.

    Example:
        >>> from pyroxene.distributions import Normal, transforms
        >>> torch.manual_seed(0) and None
        >>> base = Normal(torch.zeros(3), torch.ones(3)).to_event(1)
        >>> flow = ConditionalTransformedDistribution(base, [transforms.conditional_spline(3, context_dim=2)])
        >>> flow.condition(torch.ones(2)).log_prob(torch.zeros(4, 3)).shape
        torch.Size([4])
    """

    def __init__(
        self,
        base_dist: Distribution | ConditionalDistribution,
        transforms: Transform | ConditionalTransform | Sequence[Transform | ConditionalTransform],
    ) -> None:
        constant = not isinstance(base_dist, ConditionalDistribution)
        self.base_dist: Any = ConstantConditionalDistribution(base_dist) if constant else base_dist
        parts = [transforms] if isinstance(transforms, Transform | ConditionalTransform) else transforms
        self.transforms = [_conditional(part) for part in parts]

    def condition(self, context: torch.Tensor) -> TransformedDistribution:
        """Return the transformed distribution at a context.

        Args:
            context: what base and transforms depend on, shape (..., context_dim).
        """
        transforms = [transform.condition(context) for transform in self.transforms]
        return TransformedDistribution(self.base_dist.condition(context), transforms)

    def clear_cache(self) -> None:
        """Forget the values that the plain transforms cache; what `condition` returned has caches of its own."""
        for transform in self.transforms:
            if isinstance(transform, ConstantConditionalTransform):
                transform.clear_cache()


class ConditionedNetwork:
    """A network whose last argument, the context, is set; final.

    Args:
        network: called as network(x, context).
        context: shape (context_dim,) or (..., context_dim).
    """

    def __init__(self, network: Any, context: torch.Tensor) -> None:
        self.network = network
        self.context = context

    @property
    def permutation(self) -> torch.Tensor:
        """The order of the inputs of an autoregressive network, shape (input_dim,)."""
        return self.network.permutation

    def __call__(self, x: torch.Tensor) -> Any:
        """Apply the network to x at the context."""
        return self.network(x, self.context)
