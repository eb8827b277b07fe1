"""Transforms made of transforms: stacks of different ones, and repetitions of one with fresh parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.distributions import transforms as _torch_transforms
from torch.distributions.transforms import Transform

from pyroxene.distributions.torch_transform import ComposeTransformModule
from pyroxene.distributions.transforms.base import PureTransform
from pyroxene.errors import UsageError

__all__ = ["StackTransform", "iterated"]


def _without(shape: torch.Size, dim: int) -> torch.Size:
    cut = dim % len(shape)
    return shape[:cut] + shape[cut + 1 :]


class StackTransform(PureTransform, _torch_transforms.StackTransform):
    """Apply one transform to each slice along a dimension, as `torch.stack` would put them there.

    It mends torch's class in two things: shapes are inferred where the parts change them, and the log-Jacobian is
    summed over the stacked dimension where `domain.event_dim` counts that one.

    Args:
        tseq: one transform for each slice.
        dim: the dimension of the slices.
        cache_size: 1 keeps the last pair of values of each part, 0 none.

    Example:
        >>> from torch.distributions.transforms import ExpTransform, identity_transform
        >>> StackTransform([ExpTransform(), identity_transform], dim=-1)(torch.zeros(2))
        tensor([1., 0.])
    """

    def _key(self) -> tuple[Any, ...]:
        return self.transforms, self.dim

    def with_cache(self, cache_size: int = 1) -> StackTransform:
        """Return this stack with parts that cache; itself where nothing changes."""
        return self if self._cache_size == cache_size else StackTransform(self.transforms, self.dim, cache_size)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        slices = zip(self.transforms, x.unbind(self.dim), y.unbind(self.dim))
        terms = [part.log_abs_det_jacobian(before, after) for part, before, after in slices]
        event_dims = [part.domain.event_dim for part in self.transforms]
        widest = max(event_dims)
        terms = [_sum_last(term, widest - own) for term, own in zip(terms, event_dims)]
        if -self.dim == widest + 1:  # the stacked dimension stands at the left end of the event
            return torch.stack(terms).sum(0)
        return torch.stack(terms, self.dim if self.dim >= 0 else self.dim + widest)

    def forward_shape(self, shape: torch.Size) -> torch.Size:
        return self._stack_shapes(shape, [part.forward_shape for part in self.transforms])

    def inverse_shape(self, shape: torch.Size) -> torch.Size:
        return self._stack_shapes(shape, [part.inverse_shape for part in self.transforms])

    def _stack_shapes(self, shape: torch.Size, infer: list[Callable[[torch.Size], torch.Size]]) -> torch.Size:
        rest = _without(torch.Size(shape), self.dim)
        part = torch.broadcast_shapes(*(one(rest) for one in infer))
        cut = self.dim if self.dim >= 0 else len(part) + 1 + self.dim
        return part[:cut] + (len(infer),) + part[cut:]


def _sum_last(value: Tensor, dims: int) -> Tensor:
    return value.flatten(-dims).sum(-1) if dims else value


def iterated(repeats: int, base_fn: Callable[..., Transform], *args: Any, **kwargs: Any) -> ComposeTransformModule:
    """Compose several transforms that one function makes, each with parameters of its own.

    Args:
        repeats: how many, at least 1.
        base_fn: makes a transform.
        *args: for `base_fn`.
        **kwargs: for `base_fn`.

    Returns:
        The chain, a module that holds the parameters of all.

    Raises:
        UsageError: `repeats` is no positive integer.

    Example:
        >>> from pyroxene.distributions.transforms.permute import permute
        >>> len(iterated(3, permute, 5).parts)
        3
    """
    if not isinstance(repeats, int) or repeats < 1:
        raise UsageError("repeats must be a positive integer", expected="repeats >= 1", got=repeats)
    return ComposeTransformModule([base_fn(*args, **kwargs) for _ in range(repeats)])
