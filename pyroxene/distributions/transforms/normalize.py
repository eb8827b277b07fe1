"""Projection of vectors onto the unit sphere."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.distributions.constraints import Constraint

from pyroxene.distributions import constraints
from pyroxene.distributions.transforms.base import PureTransform
from pyroxene.ops.tensor_utils import safe_normalize

__all__ = ["Normalize"]


class Normalize(PureTransform):
    """Project vectors onto the unit sphere of the p-norm; zero goes to (1, 0, ..., 0).

    It is not one to one, so it has no log-Jacobian; the inverse returns its argument.

    Args:
        p: exponent of the norm.
        cache_size: 1 keeps the last pair of values, 0 none.

    Example:
        >>> import torch
        >>> Normalize()(torch.tensor([3.0, 4.0]))
        tensor([0.6000, 0.8000])
    """

    domain = constraints.real_vector

    def __init__(self, p: float = 2, cache_size: int = 0) -> None:
        super().__init__(cache_size=cache_size)
        self.p = p

    @constraints.dependent_property(is_discrete=False, event_dim=1)
    def codomain(self) -> Constraint:
        return constraints.sphere if self.p == 2 else constraints.real_vector

    def _key(self) -> tuple[Any, ...]:
        return (float(self.p),)

    def _call(self, x: Tensor) -> Tensor:
        return safe_normalize(x, p=self.p)

    def _inverse(self, y: Tensor) -> Tensor:
        return y
