"""Arrowhead matrices: a dense head, a diagonal for the rest, and what lies between; linear cost in the rest."""

from __future__ import annotations

from typing import NamedTuple

import torch

__all__ = ["SymmArrowhead", "TriuArrowhead", "sqrt", "triu_gram", "triu_inverse", "triu_matvecmul"]


class SymmArrowhead(NamedTuple):
    """A symmetric matrix [[A, B], [B^T, diag(d)]].

    Attributes:
        top: A and B beside each other, shape (head_size, size).
        bottom_diag: d, shape (size - head_size,).
    """

    top: torch.Tensor
    bottom_diag: torch.Tensor


class TriuArrowhead(NamedTuple):
    """An upper triangular matrix [[U, B], [0, diag(d)]].

    Attributes:
        top: U and B beside each other, shape (head_size, size).
        bottom_diag: d, shape (size - head_size,).
    """

    top: torch.Tensor
    bottom_diag: torch.Tensor


def sqrt(x: SymmArrowhead) -> TriuArrowhead:
    """Return the upper triangular R with R R^T = x.

    Args:
        x: positive definite.

    Raises:
        torch.linalg.LinAlgError: x is not positive definite.

    Example:
        >>> root = sqrt(SymmArrowhead(torch.tensor([[5.0, 2.0]]), torch.tensor([4.0])))
        >>> root.top, root.bottom_diag
        (tensor([[2., 1.]]), tensor([2.]))
    """
    head = x.top.shape[0]
    diagonal = x.bottom_diag.sqrt()
    beside = x.top[:, head:] / diagonal
    # U U^T = A - B d^-1 B^T: the Cholesky factor of the flipped matrix, flipped back, is upper triangular
    schur = x.top[:, :head] - beside @ beside.T
    upper = torch.linalg.cholesky(schur.flip((0, 1))).flip((0, 1))
    return TriuArrowhead(torch.cat([upper, beside], dim=1), diagonal)


def triu_inverse(x: TriuArrowhead) -> TriuArrowhead:
    """Return the inverse, which is upper triangular and an arrowhead too."""
    head = x.top.shape[0]
    identity = torch.eye(head, dtype=x.top.dtype, device=x.top.device)
    inverse = torch.linalg.solve_triangular(x.top[:, :head], identity, upper=True)
    diagonal = x.bottom_diag.reciprocal()
    return TriuArrowhead(torch.cat([inverse, -inverse @ x.top[:, head:] * diagonal], dim=1), diagonal)


def triu_matvecmul(x: TriuArrowhead, y: torch.Tensor, transpose: bool = False) -> torch.Tensor:
    """Return x y, or x^T y, shape (size,).

    Args:
        x: the matrix.
        y: a vector, shape (size,).
        transpose: whether to take x's transpose.
    """
    head = x.top.shape[0]
    if transpose:
        result = x.top.T @ y[:head]
        return torch.cat([result[:head], result[head:] + x.bottom_diag * y[head:]])
    return torch.cat([x.top @ y, x.bottom_diag * y[head:]])


def triu_gram(x: TriuArrowhead) -> torch.Tensor:
    """Return x^T x, a dense matrix of shape (size, size)."""
    head = x.top.shape[0]
    result = x.top.T @ x.top
    result.diagonal()[head:].add_(x.bottom_diag.square())
    return result
