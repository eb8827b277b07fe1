"""The bijection that reaches Cholesky factors as a scale for each row times a unit factor."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions.transforms import SoftplusTransform
from torch.nn.functional import logsigmoid, softplus

from pyroxene.distributions import constraints, peer_constraints
from pyroxene.distributions.transforms.base import PureTransform
from pyroxene.distributions.transforms.triangular import from_vector, matrix_size, to_vector
from pyroxene.errors import ShapeError

__all__ = ["ScaledUnitLowerCholeskyTransform"]


class ScaledUnitLowerCholeskyTransform(PureTransform):
    """Bijection from vectors of length n (n + 1) / 2 to lower Cholesky factors L = diag(s) U of n x n matrices.

    U has a unit diagonal and, below it, the first n (n - 1) / 2 numbers, row by row; s is softplus of the last n. As
    row i of L, from 0, is s_i times that of U, the log-Jacobian is the sum of i log s_i + log sigmoid(x) there.

    Example:
        >>> ScaledUnitLowerCholeskyTransform()(torch.tensor([0.5, 0.0, 0.0]))
        tensor([[0.6931, 0.0000],
                [0.3466, 0.6931]])
    """

    domain = constraints.real_vector
    codomain = peer_constraints.scaled_unit_lower_cholesky
    bijective = True

    def _call(self, x: Tensor) -> Tensor:
        size = matrix_size(x.size(-1))
        unit = from_vector(x[..., :-size], strict=True) + torch.eye(size, dtype=x.dtype, device=x.device)
        return softplus(x[..., -size:]).unsqueeze(-1) * unit

    def _inverse(self, y: Tensor) -> Tensor:
        scale = y.diagonal(dim1=-2, dim2=-1)
        below = to_vector(y / scale.unsqueeze(-1), strict=True)
        return torch.cat([below, SoftplusTransform()._inverse(scale)], -1)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        size = y.size(-1)
        count = torch.arange(size, dtype=y.dtype, device=y.device)
        return (count * y.diagonal(dim1=-2, dim2=-1).log() + logsigmoid(x[..., -size:])).sum(-1)

    def forward_shape(self, shape: torch.Size) -> torch.Size:
        if len(shape) < 1:
            raise ShapeError("Too few dimensions on input", expected="(..., length)", got=tuple(shape))
        size = matrix_size(shape[-1])
        return shape[:-1] + (size, size)

    def inverse_shape(self, shape: torch.Size) -> torch.Size:
        if len(shape) < 2 or shape[-1] != shape[-2]:
            raise ShapeError("Input is not square", expected="(..., n, n)", got=tuple(shape))
        return shape[:-2] + (shape[-1] * (shape[-1] + 1) // 2,)
