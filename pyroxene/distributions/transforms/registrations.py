"""Which transform reaches which constraint: the rows of `biject_to` and `transform_to`.

The rows stand beside torch's: constraints of ours are entered in torch's registries too, rows for torch's constraints
only in ours. Transforms without parameters are made once and shared.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch.distributions.constraints import Constraint
from torch.distributions.transforms import (
    AffineTransform,
    CatTransform,
    ComposeTransform,
    ExpTransform,
    IndependentTransform,
    LowerCholeskyTransform,
    SigmoidTransform,
    SoftmaxTransform,
    SoftplusTransform,
    Transform,
    identity_transform,
)

from pyroxene.distributions import constraints
from pyroxene.distributions.transforms.cholesky import (
    CholeskyTransform,
    CorrCholeskyTransform,
    CorrMatrixCholeskyTransform,
)
from pyroxene.distributions.transforms.composition import StackTransform
from pyroxene.distributions.transforms.normalize import Normalize
from pyroxene.distributions.transforms.ordered import OrderedTransform
from pyroxene.distributions.transforms.registry import Registry, biject_to, transform_to
from pyroxene.distributions.transforms.simplex import StickBreakingTransform
from pyroxene.distributions.transforms.softplus import SoftplusLowerCholeskyTransform
from pyroxene.distributions.transforms.triangular import VectorToSymmetricTransform, VectorToTriangularTransform
from pyroxene.distributions.transforms.unit_cholesky import UnitLowerCholeskyTransform

__all__: list[str] = []

_EXP = ExpTransform()
_SIGMOID = SigmoidTransform()


def _share(constraint: Any, transform: Transform, *registries: Registry) -> None:
    """Register one transform for every constraint of a class."""
    for registry in registries or (biject_to, transform_to):
        registry.register(constraint, lambda _: transform)


def _is_number(bound: Any, number: float) -> bool:
    return isinstance(bound, (int, float)) and bound == number


@biject_to.register(constraints.greater_than)
@biject_to.register(constraints.greater_than_eq)
@transform_to.register(constraints.greater_than)
@transform_to.register(constraints.greater_than_eq)
def _above(constraint: Any) -> Transform:
    if _is_number(constraint.lower_bound, 0):
        return _EXP
    return ComposeTransform([_EXP, AffineTransform(constraint.lower_bound, 1)])


@biject_to.register(constraints.less_than)
@transform_to.register(constraints.less_than)
def _below(constraint: Any) -> Transform:
    return ComposeTransform([_EXP, AffineTransform(constraint.upper_bound, -1)])


@biject_to.register(constraints.interval)
@biject_to.register(constraints.half_open_interval)
@transform_to.register(constraints.interval)
@transform_to.register(constraints.half_open_interval)
def _between(constraint: Any) -> Transform:
    lower, upper = constraint.lower_bound, constraint.upper_bound
    if _is_number(lower, 0) and _is_number(upper, 1):
        return _SIGMOID
    return ComposeTransform([_SIGMOID, AffineTransform(lower, upper - lower)])


def _across_components(constraint: Any, event_dim: int) -> Constraint:
    """Take the component dimension out of tensor bounds: what every component allows."""
    other: Any = copy.copy(constraint)
    if hasattr(other, "base_constraint"):
        other.base_constraint = _across_components(other.base_constraint, event_dim)
    for name, reduce in (("lower_bound", torch.amax), ("upper_bound", torch.amin)):
        bound = getattr(other, name, None)
        if isinstance(bound, torch.Tensor) and bound.dim() > event_dim:
            setattr(other, name, reduce(bound, -1 - event_dim))
    return other


def _register_functors(registry: Registry) -> None:
    """Register the constraints that are made of constraints."""

    def independent(constraint: Any) -> Transform:
        return IndependentTransform(registry(constraint.base_constraint), constraint.reinterpreted_batch_ndims)

    def cat(constraint: Any) -> Transform:
        return CatTransform([registry(part) for part in constraint.cseq], constraint.dim, constraint.lengths)

    def stack(constraint: Any) -> Transform:
        return StackTransform([registry(part) for part in constraint.cseq], constraint.dim)

    def mixture(constraint: Any) -> Transform:
        return registry(_across_components(constraint.base_constraint, constraint.event_dim))

    registry.register(constraints.independent, independent)
    registry.register(constraints.cat, cat)
    registry.register(constraints.stack, stack)
    registry.register(constraints.MixtureSameFamilyConstraint, mixture)


_register_functors(biject_to)
_register_functors(transform_to)

_share(constraints.softplus_positive, SoftplusTransform())
_share(constraints.simplex, StickBreakingTransform(), biject_to)
_share(constraints.simplex, SoftmaxTransform(), transform_to)
_share(constraints.ordered_vector, OrderedTransform())
_share(constraints.positive_ordered_vector, ComposeTransform([OrderedTransform(), _EXP]))
_share(constraints.sphere, Normalize())

_to_positive_definite = CholeskyTransform().inv
_share(constraints.lower_cholesky, VectorToTriangularTransform("exp"), biject_to)
_share(constraints.lower_cholesky, LowerCholeskyTransform(), transform_to)
_share(constraints.softplus_lower_cholesky, VectorToTriangularTransform("softplus"), biject_to)
_share(constraints.softplus_lower_cholesky, SoftplusLowerCholeskyTransform(), transform_to)
_share(constraints.unit_lower_cholesky, VectorToTriangularTransform("unit"), biject_to)
_share(constraints.unit_lower_cholesky, UnitLowerCholeskyTransform(), transform_to)
_share(constraints.lower_triangular, VectorToTriangularTransform("free"))
_share(constraints.symmetric, VectorToSymmetricTransform())
_share(constraints.square, IndependentTransform(identity_transform, 2))
for _definite in (constraints.positive_definite, constraints.positive_semidefinite):
    _share(_definite, ComposeTransform([VectorToTriangularTransform("exp"), _to_positive_definite]), biject_to)
    _share(_definite, ComposeTransform([LowerCholeskyTransform(), _to_positive_definite]), transform_to)
_share(constraints.corr_cholesky, CorrCholeskyTransform())
_share(constraints.corr_matrix, ComposeTransform([CorrCholeskyTransform(), CorrMatrixCholeskyTransform().inv]))
