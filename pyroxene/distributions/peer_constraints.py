"""Regions that NumPyro names and Pyro does not: sums of zero, the l1 ball, the circle, scaled factors, spectra."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.distributions import constraints as _torch_constraints
from torch.distributions.constraints import Constraint

__all__ = [
    "circular",
    "complex",
    "integer_greater_than",
    "l1_ball",
    "positive_definite_circulant_vector",
    "real_matrix",
    "scaled_unit_lower_cholesky",
    "zero_sum",
]


class ByValue(Constraint):
    """Abstract: a constraint that is equal to another of its class with equal attributes.

    Implementing a constraint: set `event_dim` and `is_discrete`, and define `check(value)`, which reduces the
    rightmost `event_dim` dimensions of a value to a boolean tensor of its sample and batch shape.
    """

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash(type(self))


class _ZeroSum(ByValue):
    """Tensors that sum to zero along each of their last dimensions, within rounding.

    Args:
        event_dim: how many dimensions, at least 1.
    """

    def __init__(self, event_dim: int = 1) -> None:
        self._event_dim = event_dim
        super().__init__()

    @property
    def event_dim(self) -> int:  # type: ignore[override] # torch declares a class attribute
        """The number of dimensions of one value."""
        return self._event_dim

    def check(self, value: torch.Tensor) -> torch.Tensor:
        results = []
        for dim in range(-self._event_dim, 0):
            total, size = value.sum(dim, keepdim=True).abs(), value.abs().sum(dim, keepdim=True)
            allowed = 10.0 * torch.finfo(value.dtype).eps * value.size(dim) * (1 + size)
            results.append((total <= allowed).flatten(-self._event_dim).all(-1))
        return torch.stack(results).all(0)


class _L1Ball(ByValue):
    """Vectors whose absolute values sum to at most 1."""

    event_dim = 1

    def check(self, value: torch.Tensor) -> torch.Tensor:
        return value.abs().sum(-1) <= 1 + 10.0 * torch.finfo(value.dtype).eps * value.size(-1)


class _Circular(ByValue, _torch_constraints.interval):
    """Angles in radians, from -pi to pi; the two ends are the same direction."""

    def __init__(self) -> None:
        super().__init__(-math.pi, math.pi)

    def check(self, value: torch.Tensor) -> torch.Tensor:
        return value.abs() <= torch.full((), math.pi, dtype=value.dtype, device=value.device)  # pi, rounded alike


class _Complex(ByValue):
    """Complex numbers, but not those with a part that is NaN."""

    def check(self, value: torch.Tensor) -> torch.Tensor:
        return (value == value) & torch.full_like(value, value.is_complex(), dtype=torch.bool)


class _IntegerGreaterThan(ByValue):
    """Whole numbers of at least a bound; NumPyro's bound is inclusive, despite the name.

    Args:
        lower_bound: the least number allowed.
    """

    is_discrete = True

    def __init__(self, lower_bound: Any) -> None:
        self.lower_bound = lower_bound
        super().__init__()

    def check(self, value: torch.Tensor) -> torch.Tensor:
        return (value % 1 == 0) & (value >= self.lower_bound)


class _PositiveDefiniteCirculantVector(ByValue):
    """First rows of positive-definite circulant matrices: symmetric, with a positive discrete Fourier transform."""

    event_dim = 1

    def check(self, value: torch.Tensor) -> torch.Tensor:
        size = value.size(-1)
        mirror = value.index_select(-1, (-torch.arange(size, device=value.device)) % size)
        allowed = 10.0 * torch.finfo(value.dtype).eps * size * value.abs().amax(-1, keepdim=True)
        symmetric = ((value - mirror).abs() <= allowed).all(-1)
        return symmetric & (torch.fft.rfft(value).real > 0).all(-1)


class _RealMatrix(ByValue, _torch_constraints.independent):
    """Matrices of real numbers."""

    def __init__(self) -> None:
        super().__init__(_torch_constraints.real, 2)


class _ScaledUnitLowerCholesky(ByValue, type(_torch_constraints.lower_cholesky)):  # type: ignore[misc] # not exported
    """Lower-triangular matrices with a positive diagonal, reached as a diagonal matrix times a unit lower factor."""


zero_sum = _ZeroSum
l1_ball = _L1Ball()
circular = _Circular()
complex = _Complex()
integer_greater_than = _IntegerGreaterThan
positive_definite_circulant_vector = _PositiveDefiniteCirculantVector()
real_matrix = _RealMatrix()
scaled_unit_lower_cholesky = _ScaledUnitLowerCholesky()
