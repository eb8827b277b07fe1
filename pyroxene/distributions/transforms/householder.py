"""Householder flows: chains of reflections, which are orthogonal.

Source: J. M. Tomczak, M. Welling (2016), Improving variational auto-encoders using Householder flow, equation 8.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pyroxene.distributions.conditional import ConditionalTransformModule
from pyroxene.distributions.torch_transform import TransformModule
from pyroxene.distributions.transforms.flow import Flow
from pyroxene.errors import UsageError
from pyroxene.ops.networks import DenseNN

__all__ = [
    "ConditionalHouseholder",
    "ConditionedHouseholder",
    "Householder",
    "conditional_householder",
    "householder",
]


def check_count(count_transforms: int) -> None:
    """Raise UsageError where the number of reflections is below one."""
    if not isinstance(count_transforms, int) or count_transforms < 1:
        raise UsageError(
            f"Number of Householder transforms, {count_transforms}, is less than 1!",
            expected="count_transforms >= 1",
            got=count_transforms,
        )


def reflect(value: Tensor, normals: Tensor, backwards: bool = False) -> Tensor:
    """Return a vector reflected in the planes with given normals, one after the other.

    Args:
        value: shape (..., n).
        normals: shape (..., count, n), of any length but zero.
        backwards: whether the last plane comes first.
    """
    planes = normals.unbind(-2)
    for normal in reversed(planes) if backwards else planes:
        share = (normal * value).sum(-1, keepdim=True) / normal.square().sum(-1, keepdim=True)
        value = value - 2 * share * normal
    return value


class ConditionedHouseholder(Flow):
    """Bijection of vectors: y = H_K ... H_1 x, with H_k = I - 2 u_k u_kᵀ / |u_k|².

    Args:
        u_unnormed: the normals u, shape (..., K, n).
    """

    volume_preserving = True
    u_unnormed: Tensor

    def __init__(self, u_unnormed: Tensor) -> None:
        super().__init__(cache_size=1)
        self.u_unnormed = u_unnormed

    def _unchanged(self, value: Tensor) -> Tensor:
        return value.new_zeros(value.shape[:-1])

    def _push(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = reflect(x, self.u_unnormed)
        return y, self._unchanged(y)

    def _pull(self, y: Tensor) -> tuple[Tensor, Tensor | None]:
        x = reflect(y, self.u_unnormed, backwards=True)
        return x, self._unchanged(x)


class Householder(ConditionedHouseholder, TransformModule):
    """Bijection of vectors: y = H_K ... H_1 x, with H_k = I - 2 u_k u_kᵀ / |u_k|²; the log-Jacobian is zero.

    Args:
        input_dim: the number of entries n.
        count_transforms: the number of reflections K, at least 1. The learnable parameters are the normals
            `u_unnormed`, shape (K, n).

    Raises:
        UsageError: there is no reflection.

    Example:
        >>> torch.manual_seed(0) and None
        >>> transform = Householder(3, count_transforms=2)
        >>> x = torch.tensor([3.0, 0.0, 4.0])
        >>> round(transform(x).norm().item(), 4)
        5.0
    """

    def __init__(self, input_dim: int, count_transforms: int = 1) -> None:
        TransformModule.__init__(self, cache_size=1)
        check_count(count_transforms)
        self.input_dim = input_dim
        width = 1 / math.sqrt(input_dim)
        self.u_unnormed = nn.Parameter(torch.empty(count_transforms, input_dim).uniform_(-width, width))


class ConditionalHouseholder(ConditionalTransformModule):
    """`Householder` whose normals come from a context.

    Args:
        input_dim: the number of entries n.
        nn: takes the context to K vectors of shape (..., n), or to one where K = 1; a DenseNN with param_dims [n] * K.
        count_transforms: the number of reflections K, at least 1.

    Raises:
        UsageError: there is no reflection.

    Example:
        >>> torch.manual_seed(0) and None
        >>> conditional_householder(4, context_dim=2).condition(torch.ones(2))(torch.zeros(3, 4)).shape
        torch.Size([3, 4])
    """

    domain = Flow.domain
    codomain = Flow.codomain
    bijective = True

    def __init__(self, input_dim: int, nn: Any, count_transforms: int = 1) -> None:
        super().__init__()
        check_count(count_transforms)
        self.nn = nn
        self.input_dim = input_dim
        self.count_transforms = count_transforms

    def condition(self, context: Tensor) -> ConditionedHouseholder:
        normals = self.nn(context)
        normals = normals if isinstance(normals, Tensor) else torch.cat(tuple(normals), -1)
        shape = normals.shape[:-1] + (self.count_transforms, self.input_dim)
        return ConditionedHouseholder(normals.reshape(shape))


def householder(input_dim: int, count_transforms: int | None = None) -> Householder:
    """Return a Householder.

    Args:
        input_dim: the number of entries.
        count_transforms: the number of reflections; input_dim // 2 + 1 by default.
    """
    return Householder(input_dim, input_dim // 2 + 1 if count_transforms is None else count_transforms)


def conditional_householder(
    input_dim: int, context_dim: int, hidden_dims: Sequence[int] | None = None, count_transforms: int = 1
) -> ConditionalHouseholder:
    """Return a ConditionalHouseholder with a network of its own.

    Args:
        input_dim: the number of entries.
        context_dim: the number of entries of the context.
        hidden_dims: the network's hidden layers; two of 10 input_dim units by default.
        count_transforms: the number of reflections.
    """
    check_count(count_transforms)
    hidden = [10 * input_dim] * 2 if hidden_dims is None else hidden_dims
    network = DenseNN(context_dim, hidden, param_dims=[input_dim] * count_transforms)
    return ConditionalHouseholder(input_dim, network, count_transforms)
