"""Affine maps by a triangular matrix."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pyroxene.distributions import constraints
from pyroxene.distributions.transforms.base import PureTransform
from pyroxene.errors import ShapeError
from pyroxene.ops.tensor_utils import matvecmul

__all__ = ["LowerCholeskyAffine"]


class LowerCholeskyAffine(PureTransform):
    """Bijection of vectors: y = loc + scale_tril x.

    Args:
        loc: shape (n,) or with a batch, (..., n).
        scale_tril: lower triangular with a positive diagonal, shape (n, n) or (..., n, n).
        cache_size: 1 keeps the last pair of values, 0 none.

    Raises:
        ShapeError: loc or scale_tril has another number of entries.

    Example:
        >>> LowerCholeskyAffine(torch.zeros(2), torch.tensor([[1.0, 0.0], [2.0, 3.0]]))(torch.ones(2))
        tensor([1., 5.])
    """

    domain = constraints.real_vector
    codomain = constraints.real_vector
    bijective = True
    volume_preserving = False

    def __init__(self, loc: Tensor, scale_tril: Tensor, cache_size: int = 0) -> None:
        super().__init__(cache_size=cache_size)
        if loc.dim() < 1 or scale_tril.shape[-2:] != (loc.size(-1), loc.size(-1)):
            raise ShapeError(
                "loc and scale_tril do not fit", expected="(..., n) and (..., n, n)", got=(loc.shape, scale_tril.shape)
            )
        self.loc = loc
        self.scale_tril = scale_tril

    def _key(self) -> tuple[Any, ...]:
        return self.loc, self.scale_tril

    def _call(self, x: Tensor) -> Tensor:
        return matvecmul(self.scale_tril, x) + self.loc

    def _inverse(self, y: Tensor) -> Tensor:
        centred = (y - self.loc).unsqueeze(-1)
        return torch.linalg.solve_triangular(self.scale_tril, centred, upper=False).squeeze(-1)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        result = self.scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        return result.expand(torch.broadcast_shapes(result.shape, x.shape[:-1]))

    def forward_shape(self, shape: torch.Size) -> torch.Size:
        return torch.broadcast_shapes(shape, self.loc.shape, self.scale_tril.shape[:-1])

    def inverse_shape(self, shape: torch.Size) -> torch.Size:
        return self.forward_shape(shape)
