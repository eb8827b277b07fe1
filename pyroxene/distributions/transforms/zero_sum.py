"""The bijection that reaches tensors with sums of zero."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.distributions.constraints import Constraint

from pyroxene.distributions import constraints, peer_constraints
from pyroxene.distributions.transforms.base import PureTransform
from pyroxene.errors import ShapeError, UsageError

__all__ = ["ZeroSumTransform"]


class ZeroSumTransform(PureTransform):
    """Isometry from tensors of sizes n - 1 to tensors of sizes n that sum to zero along each of their last dimensions.

    Along one dimension a zero is appended and the vector is reflected so that the last axis turns into the direction
    -(1, ..., 1) / sqrt(n): with s the sum of x, y_i = x_i - s / (n + sqrt n) for i < n and y_n = -s / sqrt n. The map
    keeps lengths and angles, so the log-Jacobian is zero, and no entry is special in the prior that it induces.

    Source: A. Householder (1958), Unitary Triangularization of a Nonsymmetric Matrix.

    Args:
        transform_ndims: how many of the last dimensions sum to zero, at least 1.

    Example:
        >>> ZeroSumTransform(1)(torch.tensor([1.0, 2.0, 3.0]))
        tensor([ 0.,  1.,  2., -3.])
    """

    bijective = True

    def __init__(self, transform_ndims: int = 1) -> None:
        super().__init__()
        if transform_ndims < 1:
            raise UsageError("a sum of zero needs a dimension", expected="at least 1", got=transform_ndims)
        self.transform_ndims = transform_ndims

    def _key(self) -> tuple[Any, ...]:
        return (self.transform_ndims,)

    @constraints.dependent_property(is_discrete=False)
    def domain(self) -> Constraint:
        """All tensors of `transform_ndims` dimensions."""
        return constraints.independent(constraints.real, self.transform_ndims)

    @constraints.dependent_property(is_discrete=False)
    def codomain(self) -> Constraint:
        """Tensors that sum to zero along each of their last dimensions."""
        return peer_constraints.zero_sum(self.transform_ndims)

    def _call(self, x: Tensor) -> Tensor:
        for dim in range(-self.transform_ndims, 0):
            n = x.size(dim) + 1
            total = x.sum(dim, keepdim=True)
            x = torch.cat([x - total / (n + math.sqrt(n)), -total / math.sqrt(n)], dim)
        return x

    def _inverse(self, y: Tensor) -> Tensor:
        for dim in range(-self.transform_ndims, 0):
            n = y.size(dim)
            last = y.narrow(dim, n - 1, 1)
            y = y.narrow(dim, 0, n - 1) - last / (math.sqrt(n) + 1)
        return y

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return x.new_zeros(x.shape[: x.dim() - self.transform_ndims])

    def _shape(self, shape: torch.Size, step: int) -> torch.Size:
        if len(shape) < self.transform_ndims:
            raise ShapeError(
                "Too few dimensions on input", expected=f"at least {self.transform_ndims} dimensions", got=tuple(shape)
            )
        split = len(shape) - self.transform_ndims
        return torch.Size((*shape[:split], *(size + step for size in shape[split:])))

    def forward_shape(self, shape: torch.Size) -> torch.Size:
        return self._shape(shape, 1)

    def inverse_shape(self, shape: torch.Size) -> torch.Size:
        return self._shape(shape, -1)
