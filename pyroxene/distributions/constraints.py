"""Regions in which a value may lie: torch's constraints under their own names, and those of Pyro and NumPyro.

The additional constraints compare by value and are equal to themselves after pickling. torch's singletons are pickled
as references to the torch name, through `copyreg`, so that they too are the same object afterwards.
"""

from __future__ import annotations

import copyreg
from typing import Any

import torch
from torch.distributions import constraints as _torch_constraints
from torch.distributions.constraints import (
    Constraint,
    MixtureSameFamilyConstraint,
    boolean,
    cat,
    corr_cholesky,
    dependent,
    dependent_property,
    greater_than,
    greater_than_eq,
    half_open_interval,
    independent,
    integer_interval,
    interval,
    is_dependent,
    less_than,
    lower_cholesky,
    lower_triangular,
    multinomial,
    nonnegative,
    nonnegative_integer,
    one_hot,
    positive,
    positive_definite,
    positive_integer,
    positive_semidefinite,
    real,
    real_vector,
    simplex,
    square,
    stack,
    symmetric,
    unit_interval,
)

from pyroxene.distributions.peer_constraints import (
    ByValue,
    circular,
    complex,
    integer_greater_than,
    l1_ball,
    positive_definite_circulant_vector,
    real_matrix,
    scaled_unit_lower_cholesky,
    zero_sum,
)

__all__ = [
    "Constraint",
    "MixtureSameFamilyConstraint",
    "boolean",
    "cat",
    "circular",
    "complex",
    "corr_cholesky",
    "corr_cholesky_constraint",
    "corr_matrix",
    "dependent",
    "dependent_property",
    "greater_than",
    "greater_than_eq",
    "half_open_interval",
    "independent",
    "integer",
    "integer_greater_than",
    "integer_interval",
    "interval",
    "is_dependent",
    "l1_ball",
    "less_than",
    "lower_cholesky",
    "lower_triangular",
    "multinomial",
    "nonnegative",
    "nonnegative_integer",
    "one_hot",
    "ordered_vector",
    "positive",
    "positive_definite",
    "positive_definite_circulant_vector",
    "positive_integer",
    "positive_ordered_vector",
    "positive_semidefinite",
    "real",
    "real_matrix",
    "real_vector",
    "scaled_unit_lower_cholesky",
    "simplex",
    "softplus_lower_cholesky",
    "softplus_positive",
    "sphere",
    "square",
    "stack",
    "symmetric",
    "unit_interval",
    "unit_lower_cholesky",
    "zero_sum",
]


def _tolerance(value: torch.Tensor) -> float:
    """Rounding allowed in a sum over the last dimension; the factor is the one that torch's corr_cholesky uses."""
    return 10.0 * torch.finfo(value.dtype).eps * max(value.size(-1), 1)


class _Integer(ByValue):
    """Whole numbers, negative ones too."""

    is_discrete = True

    def check(self, value: torch.Tensor) -> torch.Tensor:
        return value % 1 == 0


class _OrderedVector(ByValue):
    """Vectors whose entries increase strictly."""

    event_dim = 1

    def check(self, value: torch.Tensor) -> torch.Tensor:
        rising = (value[..., 1:] > value[..., :-1]).all(-1)
        return rising & (value == value).all(-1)  # a vector of one entry may still be NaN


class _PositiveOrderedVector(_OrderedVector):
    """Vectors of positive entries that increase strictly."""

    def check(self, value: torch.Tensor) -> torch.Tensor:
        return super().check(value) & (value > 0).all(-1)


class _Sphere(ByValue):
    """Vectors of unit Euclidean length."""

    event_dim = 1

    def check(self, value: torch.Tensor) -> torch.Tensor:
        return (torch.linalg.vector_norm(value, dim=-1) - 1).abs() <= _tolerance(value)


class _CorrMatrix(ByValue):
    """Positive-definite matrices with a unit diagonal."""

    event_dim = 2

    def check(self, value: torch.Tensor) -> torch.Tensor:
        unit = (value.diagonal(dim1=-2, dim2=-1) - 1).abs().le(_tolerance(value)).all(-1)
        return unit & positive_definite.check(value)


class _UnitLowerCholesky(ByValue):
    """Lower-triangular matrices with a unit diagonal."""

    event_dim = 2

    def check(self, value: torch.Tensor) -> torch.Tensor:
        unit = (value.diagonal(dim1=-2, dim2=-1) - 1).abs().le(_tolerance(value)).all(-1)
        return unit & (value.tril() == value).all(-1).all(-1)


class _SoftplusPositive(ByValue, type(positive)):  # type: ignore[misc] # torch does not export the class
    """Positive numbers, reached from the real line through softplus rather than exp."""

    def __init__(self) -> None:
        super().__init__(lower_bound=0.0)


class _SoftplusLowerCholesky(ByValue, type(lower_cholesky)):  # type: ignore[misc] # as above
    """Lower-triangular matrices with a positive diagonal, reached through softplus rather than exp."""


integer = _Integer()
ordered_vector = _OrderedVector()
positive_ordered_vector = _PositiveOrderedVector()
sphere = _Sphere()
corr_matrix = _CorrMatrix()
unit_lower_cholesky = _UnitLowerCholesky()
softplus_positive = _SoftplusPositive()
softplus_lower_cholesky = _SoftplusLowerCholesky()
corr_cholesky_constraint = corr_cholesky

_SINGLETONS = {
    id(thing): name
    for name, thing in vars(_torch_constraints).items()
    if isinstance(thing, Constraint) and not isinstance(thing, type)
}


def _reduce(constraint: Constraint) -> str | tuple[Any, ...]:
    """Pickle a singleton of torch as the global name under which torch exports it, anything else as usual."""
    name = _SINGLETONS.get(id(constraint))
    return constraint.__reduce_ex__(2) if name is None else name


for _name in _SINGLETONS.values():
    copyreg.pickle(type(getattr(_torch_constraints, _name)), _reduce)
