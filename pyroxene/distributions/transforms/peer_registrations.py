"""Which transform reaches the constraints of `peer_constraints`: their rows of `biject_to` and `transform_to`.

`positive_definite_circulant_vector` has none: the length of the spectrum does not say whether that of the row is odd.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from torch.distributions.transforms import (
    AffineTransform,
    ComposeTransform,
    IndependentTransform,
    SigmoidTransform,
    Transform,
    identity_transform,
)

from pyroxene.distributions import peer_constraints
from pyroxene.distributions.transforms.complex import ComplexTransform
from pyroxene.distributions.transforms.l1_ball import L1BallTransform
from pyroxene.distributions.transforms.registry import biject_to, transform_to
from pyroxene.distributions.transforms.scaled_cholesky import ScaledUnitLowerCholeskyTransform
from pyroxene.distributions.transforms.zero_sum import ZeroSumTransform

__all__: list[str] = []

_SHARED: dict[type, Transform] = {
    type(peer_constraints.circular): ComposeTransform([SigmoidTransform(), AffineTransform(-math.pi, 2 * math.pi)]),
    type(peer_constraints.complex): ComplexTransform(),
    type(peer_constraints.l1_ball): L1BallTransform(),
    type(peer_constraints.real_matrix): IndependentTransform(identity_transform, 2),
    type(peer_constraints.scaled_unit_lower_cholesky): ScaledUnitLowerCholeskyTransform(),
}


def _always(transform: Transform) -> Callable[[Any], Transform]:
    return lambda constraint: transform


for _registry in (biject_to, transform_to):
    for _constraint, _transform in _SHARED.items():
        _registry.register(_constraint, _always(_transform))
    _registry.register(peer_constraints.zero_sum, lambda constraint: ZeroSumTransform(constraint.event_dim))
