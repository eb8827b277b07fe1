"""Cholesky factors of positive-definite and of correlation matrices."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.distributions import transforms as _torch_transforms
from torch.distributions.constraints import Constraint
from torch.nn.functional import pad, softplus

from pyroxene.distributions import constraints
from pyroxene.distributions.transforms.base import PureTransform
from pyroxene.distributions.transforms.triangular import from_vector, matrix_size, to_vector
from pyroxene.ops.tensor_utils import safe_cholesky

__all__ = ["CholeskyTransform", "CorrCholeskyTransform", "CorrMatrixCholeskyTransform"]


class CholeskyTransform(PureTransform):
    """Bijection from positive-definite matrices to their lower Cholesky factors.

    The log-Jacobian is that of the factor's lower triangle with respect to the matrix's.

    Example:
        >>> CholeskyTransform()(torch.tensor([[4.0, 2.0], [2.0, 2.0]]))
        tensor([[2.0000, 0.0000],
                [1.0000, 1.0000]])
    """

    domain: Constraint = constraints.positive_definite
    codomain: Constraint = constraints.lower_cholesky
    bijective = True

    def _call(self, x: Tensor) -> Tensor:
        return safe_cholesky(x)

    def _inverse(self, y: Tensor) -> Tensor:
        return y @ y.mT

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        size = y.size(-1)
        power = torch.arange(size, 0, -1, dtype=y.dtype, device=y.device)
        return -(y.diagonal(dim1=-2, dim2=-1).log() * power).sum(-1) - size * math.log(2)


class CorrMatrixCholeskyTransform(CholeskyTransform):
    """Bijection from correlation matrices to their lower Cholesky factors.

    The log-Jacobian is that of the factor's strict lower triangle with respect to the matrix's.
    """

    domain = constraints.corr_matrix
    codomain = constraints.corr_cholesky

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        power = torch.arange(y.size(-1) - 1, -1, -1, dtype=y.dtype, device=y.device)
        return -(y.diagonal(dim1=-2, dim2=-1).log() * power).sum(-1)


class CorrCholeskyTransform(PureTransform, _torch_transforms.CorrCholeskyTransform):
    """Bijection from vectors of length n (n - 1) / 2 to Cholesky factors of n x n correlation matrices.

    The map is torch's and Stan's: partial correlations tanh(x), row by row, break a stick of unit length. torch's
    inverse and log-Jacobian take 1 minus a cumulative sum, which in float32 turns to NaN at n = 5 for x of scale 3;
    here both are free of cancellation and finite wherever x is. The log-Jacobian is that of the strict lower triangle.

    Example:
        >>> CorrCholeskyTransform()(torch.tensor([0.5]))
        tensor([[1.0000, 0.0000],
                [0.4621, 0.8868]])
    """

    domain = constraints.real_vector
    codomain = constraints.corr_cholesky
    bijective = True

    def _call(self, x: Tensor) -> Tensor:
        info = torch.finfo(x.dtype)
        correlation = from_vector(x.tanh().clamp(info.eps - 1, 1 - info.eps), strict=True)
        rest = (1 - correlation * correlation).sqrt().cumprod(-1).clamp(min=info.tiny)  # the diagonal stays positive
        unit = torch.eye(rest.size(-1), dtype=x.dtype, device=x.device)
        return (correlation + unit) * pad(rest[..., :-1], (1, 0), value=1.0)

    def _inverse(self, y: Tensor) -> Tensor:
        # x = atanh(y_j / |(y_j, y_j+1, ...)|) = asinh(y_j / |(y_j+1, ...)|), as rows have unit length
        squares = (y * y).flip(-1).cumsum(-1).flip(-1)
        rest = pad(squares[..., 1:], (0, 1), value=1.0).clamp(min=torch.finfo(y.dtype).tiny).sqrt()
        return to_vector(y / rest, strict=True).asinh()

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor, intermediates: Any = None) -> Tensor:
        # log sech²(x) is the log of 1 - tanh²(x); the j-th entry of row i (from 0) has it once for tanh and halved
        # once for each of the i - 1 - j entries to its right, which its stick has shortened
        log_sech_squared = 2 * (math.log(2) - x - softplus(-2 * x))
        size = matrix_size(x.size(-1), strict=True)
        row, column = torch.tril_indices(size, size, -1, device=x.device)
        return (log_sech_squared * ((row - column + 1) * 0.5).to(x.dtype)).sum(-1)
