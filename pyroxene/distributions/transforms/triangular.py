"""Bijections between vectors and triangular or symmetric matrices, row by row."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.distributions.constraints import Constraint
from torch.distributions.transforms import SoftplusTransform
from torch.nn.functional import logsigmoid, pad, softplus

from pyroxene.distributions import constraints
from pyroxene.distributions.transforms.base import PureTransform
from pyroxene.errors import ShapeError, UsageError

__all__ = ["VectorToSymmetricTransform", "VectorToTriangularTransform", "from_vector", "matrix_size", "to_vector"]


def matrix_size(length: int, strict: bool = False) -> int:
    """Return the n whose (strict) lower triangle has `length` entries.

    Raises:
        ShapeError: no triangle has so many.
    """
    shorter = (math.isqrt(8 * length + 1) - 1) // 2  # the n whose triangle with diagonal has that many entries
    if shorter * (shorter + 1) // 2 != length:
        raise ShapeError(
            "Input is not a flattened lower-diagonal number", expected="a length of 1, 3, 6, 10, ...", got=length
        )
    return shorter + 1 if strict else shorter


def from_vector(vector: Tensor, strict: bool = False) -> Tensor:
    """Write a vector row by row into the lower triangle of a matrix of zeros.

    Args:
        vector: shape (..., n (n + 1) / 2), or (..., n (n - 1) / 2) with `strict`.
        strict: leave the diagonal zero.

    Returns:
        Shape (..., n, n).
    """
    length = vector.size(-1)
    size = matrix_size(length, strict)
    column = torch.arange(size, device=vector.device)
    row = column.unsqueeze(-1)
    place, inside = (row * (row - 1) // 2, column < row) if strict else (row * (row + 1) // 2, column <= row)
    index = torch.where(inside, place + column, length)  # the entry after the last one is the zero of the pad
    return pad(vector, (0, 1)).index_select(-1, index.flatten()).unflatten(-1, (size, size))


def to_vector(matrix: Tensor, strict: bool = False) -> Tensor:
    """Read the lower triangle of a matrix row by row; undoes `from_vector`."""
    size = matrix.size(-1)
    row, column = torch.tril_indices(size, size, -1 if strict else 0, device=matrix.device)
    return matrix.flatten(-2).index_select(-1, row * size + column)


def _vector_shape(shape: torch.Size, strict: bool) -> torch.Size:
    if len(shape) < 2 or shape[-1] != shape[-2]:
        raise ShapeError("Input is not square", expected="(..., n, n)", got=torch.Size(shape))
    size = shape[-1]
    return shape[:-2] + (size * (size - 1) // 2 if strict else size * (size + 1) // 2,)


def _matrix_shape(shape: torch.Size, strict: bool) -> torch.Size:
    if len(shape) < 1:
        raise ShapeError("Too few dimensions on input", expected="(..., length)", got=torch.Size(shape))
    size = matrix_size(shape[-1], strict)
    return shape[:-1] + (size, size)


def _diagonal_places(vector: Tensor) -> Tensor:
    row = torch.arange(matrix_size(vector.size(-1)), device=vector.device)
    return row * (row + 3) // 2


_CODOMAINS: dict[str, Constraint] = {
    "exp": constraints.lower_cholesky,
    "softplus": constraints.softplus_lower_cholesky,
    "unit": constraints.unit_lower_cholesky,
    "free": constraints.lower_triangular,
}


class VectorToTriangularTransform(PureTransform):
    """Bijection from vectors to lower-triangular matrices, read row by row.

    The log-Jacobian is that of the lower triangle with respect to the vector.

    Args:
        diagonal: how the diagonal arises: "exp" and "softplus" make it positive, "free" leaves it as it is, "unit"
            sets it to one, and the vector then holds the strict lower triangle only.
        cache_size: 1 keeps the last pair of values, 0 none.

    Raises:
        UsageError: `diagonal` is none of these.

    Example:
        >>> VectorToTriangularTransform()(torch.tensor([0.0, 2.0, 0.0]))
        tensor([[1., 0.],
                [2., 1.]])
    """

    domain = constraints.real_vector
    bijective = True

    def __init__(self, diagonal: str = "exp", cache_size: int = 0) -> None:
        if diagonal not in _CODOMAINS:
            raise UsageError("unknown diagonal", expected=f"one of {', '.join(_CODOMAINS)}", got=diagonal)
        super().__init__(cache_size=cache_size)
        self.diagonal = diagonal

    @constraints.dependent_property(is_discrete=False, event_dim=2)
    def codomain(self) -> Constraint:
        return _CODOMAINS[self.diagonal]

    def _key(self) -> tuple[Any, ...]:
        return (self.diagonal,)

    def _call(self, x: Tensor) -> Tensor:
        strict = self.diagonal == "unit"
        matrix = from_vector(x, strict)
        if self.diagonal == "free":
            return matrix
        if strict:
            return matrix + torch.eye(matrix.size(-1), dtype=x.dtype, device=x.device)
        raw = matrix.diagonal(dim1=-2, dim2=-1)
        positive = raw.exp() if self.diagonal == "exp" else softplus(raw)
        return matrix.tril(-1) + positive.diag_embed()

    def _inverse(self, y: Tensor) -> Tensor:
        if self.diagonal in ("unit", "free"):
            return to_vector(y, strict=self.diagonal == "unit")
        positive = y.diagonal(dim1=-2, dim2=-1)
        raw = positive.log() if self.diagonal == "exp" else SoftplusTransform()._inverse(positive)
        return to_vector(y.tril(-1) + raw.diag_embed())

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        if self.diagonal in ("unit", "free"):
            return x.new_zeros(x.shape[:-1])
        raw = x.index_select(-1, _diagonal_places(x))
        return (raw if self.diagonal == "exp" else logsigmoid(raw)).sum(-1)

    def forward_shape(self, shape: torch.Size) -> torch.Size:
        return _matrix_shape(shape, self.diagonal == "unit")

    def inverse_shape(self, shape: torch.Size) -> torch.Size:
        return _vector_shape(shape, self.diagonal == "unit")


class VectorToSymmetricTransform(PureTransform):
    """Bijection from vectors to symmetric matrices, whose lower triangle is read row by row.

    Example:
        >>> VectorToSymmetricTransform()(torch.tensor([1.0, 2.0, 3.0]))
        tensor([[1., 2.],
                [2., 3.]])
    """

    domain = constraints.real_vector
    codomain = constraints.symmetric
    bijective = True

    def _call(self, x: Tensor) -> Tensor:
        lower = from_vector(x)
        return lower + lower.tril(-1).mT

    def _inverse(self, y: Tensor) -> Tensor:
        return to_vector(y)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return x.new_zeros(x.shape[:-1])

    def forward_shape(self, shape: torch.Size) -> torch.Size:
        return _matrix_shape(shape, False)

    def inverse_shape(self, shape: torch.Size) -> torch.Size:
        return _vector_shape(shape, False)
