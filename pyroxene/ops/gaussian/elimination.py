"""Integrating out a block of variables under the exponential of a quadratic form: the linear algebra of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from pyroxene.ops.tensor_utils import matvecmul, safe_cholesky, triangular_solve

__all__ = ["Eliminated", "block_diagonal_of", "cat_last", "eliminate", "expanded"]


def expanded(x: Tensor, shape: Sequence[int]) -> Tensor:
    """Expand a tensor, or return it as it is where its shape is that already: chains do this often."""
    return x if x.shape == shape else x.expand(shape)


def cat_last(x: Tensor, y: Tensor, event_dim: int = 1) -> Tensor:
    """Concatenate along the last dimension, with what is left of the last `event_dim` dimensions broadcast."""
    shape = torch.broadcast_shapes(x.shape[:-event_dim], y.shape[:-event_dim])
    parts = [expanded(each, shape + each.shape[-event_dim:]) for each in (x, y) if each.size(-1)]
    return torch.cat(parts, -1) if len(parts) == 2 else parts[0] if parts else x


class Eliminated(NamedTuple):
    """What elimination of variables b from a quadratic form in (a, b) leaves; L Lᵀ is the precision of b.

    Given a, b is normal with mean L⁻ᵀ (offset - slope a) and precision L Lᵀ.
    """

    factor: Tensor
    """L, lower triangular, shape (..., B, B)."""
    slope: Tensor
    """L⁻¹ times the precision's block of b with a, shape (..., B, A)."""
    offset: Tensor
    """L⁻¹ times b's part of the information vector, shape (..., B)."""

    @property
    def log_det(self) -> Tensor:
        """Log determinant of L."""
        return self.factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)

    @property
    def squared(self) -> Tensor:
        """Squared length of `offset`: twice what the exponent gains."""
        return self.offset.square().sum(-1)

    @property
    def precision(self) -> Tensor:
        """What the precision of a loses, shape (..., A, A)."""
        return self.slope.mT @ self.slope

    @property
    def info_vec(self) -> Tensor:
        """What the information vector of a loses, shape (..., A)."""
        return matvecmul(self.slope.mT, self.offset)

    def restore(self, others: Tensor, noise: Tensor) -> Tensor:
        """Return b given a, moved from its mean by standard normal noise, shape (..., B)."""
        white = (self.offset - matvecmul(self.slope, others) + noise).unsqueeze(-1)
        return triangular_solve(white, self.factor, transpose=True).squeeze(-1)


def eliminate(own: Tensor, coupling: Tensor, info_vec: Tensor) -> Eliminated:
    """Eliminate the variables b.

    Args:
        own: precision of b, positive definite, shape (..., B, B).
        coupling: precision of b with a, shape (..., B, A).
        info_vec: information vector of b, shape (..., B).
    """
    factor = safe_cholesky(own)
    both = cat_last(coupling, info_vec.unsqueeze(-1), 2)
    solved = triangular_solve(both, factor)
    return Eliminated(factor, solved[..., :-1], solved[..., -1])


def block_diagonal_of(x: Tensor, y: Tensor) -> Tensor:
    """Put two square matrices on the diagonal of a larger one, their batch shapes broadcast."""
    shape = torch.broadcast_shapes(x.shape[:-2], y.shape[:-2])
    x, y = expanded(x, shape + x.shape[-2:]), expanded(y, shape + y.shape[-2:])
    if not (x.size(-1) and y.size(-1)):
        return x if x.size(-1) else y
    upper = torch.nn.functional.pad(x, (0, y.size(-1)))
    lower = torch.nn.functional.pad(y, (x.size(-1), 0))
    return torch.cat([upper, lower], -2)
