"""Invertible maps with log-Jacobians, and the registries that find one for a constraint.

torch's transforms stand here under their own names; `CorrCholeskyTransform`, `StickBreakingTransform` and
`StackTransform` are subclasses of torch's that are stable in float32 or right in their shapes.
"""

from __future__ import annotations

from torch.distributions.transforms import (
    AbsTransform,
    AffineTransform,
    CatTransform,
    ComposeTransform,
    CumulativeDistributionTransform,
    ExpTransform,
    IndependentTransform,
    LowerCholeskyTransform,
    PositiveDefiniteTransform,
    PowerTransform,
    ReshapeTransform,
    SigmoidTransform,
    SoftmaxTransform,
    TanhTransform,
    Transform,
    identity_transform,
)

from pyroxene.distributions.torch_transform import ComposeTransformModule, TransformModule
from pyroxene.distributions.transforms import pickling as _pickling
from pyroxene.distributions.transforms import registrations as _registrations
from pyroxene.distributions.transforms.basic import ELUTransform, LeakyReLUTransform, elu, leaky_relu
from pyroxene.distributions.transforms.cholesky import (
    CholeskyTransform,
    CorrCholeskyTransform,
    CorrMatrixCholeskyTransform,
)
from pyroxene.distributions.transforms.composition import StackTransform, iterated
from pyroxene.distributions.transforms.lower_cholesky_affine import LowerCholeskyAffine
from pyroxene.distributions.transforms.normalize import Normalize
from pyroxene.distributions.transforms.ordered import OrderedTransform, SimplexToOrderedTransform
from pyroxene.distributions.transforms.permute import Permute, permute
from pyroxene.distributions.transforms.power import PositivePowerTransform
from pyroxene.distributions.transforms.registry import biject_to, transform_to
from pyroxene.distributions.transforms.simplex import StickBreakingTransform
from pyroxene.distributions.transforms.softplus import SoftplusLowerCholeskyTransform, SoftplusTransform
from pyroxene.distributions.transforms.spectral import DiscreteCosineTransform, HaarTransform
from pyroxene.distributions.transforms.triangular import VectorToSymmetricTransform, VectorToTriangularTransform
from pyroxene.distributions.transforms.unit_cholesky import UnitLowerCholeskyTransform

__all__ = [
    "AbsTransform",
    "AffineTransform",
    "CatTransform",
    "CholeskyTransform",
    "ComposeTransform",
    "ComposeTransformModule",
    "CorrCholeskyTransform",
    "CorrMatrixCholeskyTransform",
    "CumulativeDistributionTransform",
    "DiscreteCosineTransform",
    "ELUTransform",
    "ExpTransform",
    "HaarTransform",
    "IndependentTransform",
    "LeakyReLUTransform",
    "LowerCholeskyAffine",
    "LowerCholeskyTransform",
    "Normalize",
    "OrderedTransform",
    "Permute",
    "PositiveDefiniteTransform",
    "PositivePowerTransform",
    "PowerTransform",
    "ReshapeTransform",
    "SigmoidTransform",
    "SimplexToOrderedTransform",
    "SoftmaxTransform",
    "SoftplusLowerCholeskyTransform",
    "SoftplusTransform",
    "StackTransform",
    "StickBreakingTransform",
    "TanhTransform",
    "Transform",
    "TransformModule",
    "UnitLowerCholeskyTransform",
    "VectorToSymmetricTransform",
    "VectorToTriangularTransform",
    "biject_to",
    "elu",
    "identity_transform",
    "iterated",
    "leaky_relu",
    "permute",
    "transform_to",
]

del _pickling, _registrations
