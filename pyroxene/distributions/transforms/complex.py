"""The bijection from pairs of real numbers to complex ones."""

from __future__ import annotations

import torch
from torch import Tensor

from pyroxene.distributions import constraints, peer_constraints
from pyroxene.distributions.transforms.base import PureTransform

__all__ = ["ComplexTransform"]


class ComplexTransform(PureTransform):
    """Bijection from pairs, the last dimension of size 2, to complex numbers; the log-Jacobian is zero.

    Example:
        >>> ComplexTransform()(torch.tensor([1.0, -2.0]))
        tensor(1.-2.j)
    """

    domain = constraints.real_vector
    codomain = peer_constraints.complex
    bijective = True

    def _call(self, x: Tensor) -> Tensor:
        return torch.complex(x[..., 0], x[..., 1])

    def _inverse(self, y: Tensor) -> Tensor:
        return torch.stack([y.real, y.imag], -1)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return x.new_zeros(x.shape[:-1])

    def forward_shape(self, shape: torch.Size) -> torch.Size:
        return shape[:-1]

    def inverse_shape(self, shape: torch.Size) -> torch.Size:
        return shape + (2,)
