"""Reordering of the entries of a vector."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.distributions.constraints import Constraint

from pyroxene.distributions import constraints
from pyroxene.distributions.transforms.base import PureTransform
from pyroxene.errors import UsageError

__all__ = ["Permute", "permute"]


class Permute(PureTransform):
    """Bijection that reorders a dimension; its log-Jacobian is zero.

    Args:
        permutation: y[i] = x[permutation[i]]; integers, shape (n,).
        dim: the dimension to reorder, negative; the event has -dim dimensions.
        cache_size: 1 keeps the last pair of values, 0 none.

    Raises:
        UsageError: `dim` is not negative.

    Example:
        >>> Permute(torch.tensor([2, 0, 1]))(torch.tensor([10.0, 20.0, 30.0]))
        tensor([30., 10., 20.])
    """

    bijective = True
    volume_preserving = True

    def __init__(self, permutation: Tensor | Sequence[int], *, dim: int = -1, cache_size: int = 1) -> None:
        super().__init__(cache_size=cache_size)
        if dim >= 0:
            raise UsageError("'dim' must be negative", expected="dim < 0", got=dim)
        self.permutation = torch.as_tensor(permutation)
        self.dim = dim
        self.inv_permutation = self.permutation.argsort()

    @constraints.dependent_property(is_discrete=False)
    def domain(self) -> Constraint:
        return constraints.independent(constraints.real, -self.dim)

    @constraints.dependent_property(is_discrete=False)
    def codomain(self) -> Constraint:
        return constraints.independent(constraints.real, -self.dim)

    def _key(self) -> tuple[Any, ...]:
        return self.permutation, self.dim

    def _call(self, x: Tensor) -> Tensor:
        return x.index_select(self.dim, self.permutation.to(x.device))

    def _inverse(self, y: Tensor) -> Tensor:
        return y.index_select(self.dim, self.inv_permutation.to(y.device))

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return x.new_zeros(x.shape[: self.dim])


def permute(
    input_dim: int | Sequence[int], permutation: Tensor | Sequence[int] | None = None, dim: int = -1
) -> Permute:
    """Return a Permute, of random order where none is given.

    Args:
        input_dim: size of the dimension, or the event shape if `dim` is not -1.
        permutation: the order; drawn by `torch.randperm` by default.
        dim: the dimension to reorder, negative.
    """
    if dim >= 0:
        raise UsageError("'dim' must be negative", expected="dim < 0", got=dim)
    if permutation is None:
        permutation = torch.randperm(input_dim if isinstance(input_dim, int) else input_dim[dim])
    return Permute(permutation, dim=dim)
