"""Transforms whose positive entries come from softplus, which grows linearly, rather than from exp."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions.transforms import SoftplusTransform

from pyroxene.distributions import constraints
from pyroxene.distributions.transforms.base import PureTransform

__all__ = ["SoftplusLowerCholeskyTransform", "SoftplusTransform"]


class SoftplusLowerCholeskyTransform(PureTransform):
    """Map square matrices to lower-triangular ones with a positive diagonal; the upper triangle is dropped.

    It is not one to one; `biject_to(constraints.softplus_lower_cholesky)` finds one that is.

    Example:
        >>> SoftplusLowerCholeskyTransform()(torch.zeros(2, 2))
        tensor([[0.6931, 0.0000],
                [0.0000, 0.6931]])
    """

    domain = constraints.independent(constraints.real, 2)
    codomain = constraints.softplus_lower_cholesky

    def _call(self, x: Tensor) -> Tensor:
        diagonal = torch.nn.functional.softplus(x.diagonal(dim1=-2, dim2=-1))
        return x.tril(-1) + diagonal.diag_embed()

    def _inverse(self, y: Tensor) -> Tensor:
        diagonal = SoftplusTransform()._inverse(y.diagonal(dim1=-2, dim2=-1))
        return y.tril(-1) + diagonal.diag_embed()
