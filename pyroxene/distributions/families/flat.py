"""Flat and HalfFlat: improper priors of density 1 over all numbers, or all positive ones."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from pyroxene.distributions import constraints
from pyroxene.distributions.families.improper_uniform import ImproperUniform

__all__ = ["Flat", "HalfFlat"]


class Flat(ImproperUniform):
    """Density 1 over the real line; it does not integrate to a finite number, and cannot be sampled from.

    Args:
        batch_shape: shape of independent values.

    Support: the real line. It has no moments.

    Source: Gelman et al. (2013), Bayesian Data Analysis, section 2.8.

    Example:
        >>> Flat().log_prob(torch.tensor(3.0))
        tensor(0.)
    """

    support = constraints.real

    def __init__(self, batch_shape: Sequence[int] = ()) -> None:
        super().__init__(constraints.real, batch_shape, ())

    def __repr__(self) -> str:
        return f"Flat({tuple(self._batch_shape)})"


class HalfFlat(ImproperUniform):
    """Density 1 over the positive numbers; it does not integrate to a finite number, and cannot be sampled from.

    Args:
        batch_shape: shape of independent values.

    Support: positive numbers. It has no moments.

    Source: Gelman (2006), Prior distributions for variance parameters in hierarchical models.

    Example:
        >>> HalfFlat().log_prob(torch.tensor([-1.0, 3.0]))
        tensor([-inf, 0.])
    """

    support = constraints.positive

    def __init__(self, batch_shape: Sequence[int] = ()) -> None:
        super().__init__(constraints.positive, batch_shape, ())

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return 0 for a positive value and -inf for another."""
        return torch.where(value > 0, super().log_prob(value), -torch.inf)

    def __repr__(self) -> str:
        return f"HalfFlat({tuple(self._batch_shape)})"
