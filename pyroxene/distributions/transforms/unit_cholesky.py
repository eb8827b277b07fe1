"""The transform that reaches lower-triangular matrices with a unit diagonal."""

from __future__ import annotations

import torch
from torch import Tensor

from pyroxene.distributions import constraints
from pyroxene.distributions.transforms.base import PureTransform

__all__ = ["UnitLowerCholeskyTransform"]


class UnitLowerCholeskyTransform(PureTransform):
    """Map square matrices to lower-triangular ones with a unit diagonal; all but the strict lower triangle is dropped.

    It is not one to one; `biject_to(constraints.unit_lower_cholesky)` finds one that is.

    Example:
        >>> UnitLowerCholeskyTransform()(torch.full((2, 2), 3.0))
        tensor([[1., 0.],
                [3., 1.]])
    """

    domain = constraints.independent(constraints.real, 2)
    codomain = constraints.unit_lower_cholesky

    def _call(self, x: Tensor) -> Tensor:
        return x.tril(-1) + torch.eye(x.size(-1), dtype=x.dtype, device=x.device)

    def _inverse(self, y: Tensor) -> Tensor:
        return y
