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
from pyroxene.distributions.transforms import peer_registrations as _peer_registrations
from pyroxene.distributions.transforms import pickling as _pickling
from pyroxene.distributions.transforms import registrations as _registrations
from pyroxene.distributions.transforms.affine_autoregressive import (
    AffineAutoregressive,
    ConditionalAffineAutoregressive,
    affine_autoregressive,
    conditional_affine_autoregressive,
)
from pyroxene.distributions.transforms.affine_coupling import (
    AffineCoupling,
    ConditionalAffineCoupling,
    affine_coupling,
    conditional_affine_coupling,
)
from pyroxene.distributions.transforms.basic import ELUTransform, LeakyReLUTransform, elu, leaky_relu
from pyroxene.distributions.transforms.batchnorm import BatchNorm, batchnorm
from pyroxene.distributions.transforms.block_autoregressive import BlockAutoregressive, block_autoregressive
from pyroxene.distributions.transforms.cholesky import (
    CholeskyTransform,
    CorrCholeskyTransform,
    CorrMatrixCholeskyTransform,
)
from pyroxene.distributions.transforms.complex import ComplexTransform
from pyroxene.distributions.transforms.composition import StackTransform, iterated
from pyroxene.distributions.transforms.generalized_channel_permute import (
    ConditionalGeneralizedChannelPermute,
    GeneralizedChannelPermute,
    conditional_generalized_channel_permute,
    generalized_channel_permute,
)
from pyroxene.distributions.transforms.householder import (
    ConditionalHouseholder,
    Householder,
    conditional_householder,
    householder,
)
from pyroxene.distributions.transforms.l1_ball import L1BallTransform
from pyroxene.distributions.transforms.lower_cholesky_affine import LowerCholeskyAffine
from pyroxene.distributions.transforms.matrix_exponential import (
    ConditionalMatrixExponential,
    MatrixExponential,
    conditional_matrix_exponential,
    matrix_exponential,
)
from pyroxene.distributions.transforms.neural_autoregressive import (
    ConditionalNeuralAutoregressive,
    NeuralAutoregressive,
    conditional_neural_autoregressive,
    neural_autoregressive,
)
from pyroxene.distributions.transforms.normalize import Normalize
from pyroxene.distributions.transforms.ordered import OrderedTransform, SimplexToOrderedTransform
from pyroxene.distributions.transforms.permute import Permute, permute
from pyroxene.distributions.transforms.planar import ConditionalPlanar, Planar, conditional_planar, planar
from pyroxene.distributions.transforms.polynomial import Polynomial, polynomial
from pyroxene.distributions.transforms.power import PositivePowerTransform
from pyroxene.distributions.transforms.radial import ConditionalRadial, Radial, conditional_radial, radial
from pyroxene.distributions.transforms.registry import biject_to, transform_to
from pyroxene.distributions.transforms.scaled_cholesky import ScaledUnitLowerCholeskyTransform
from pyroxene.distributions.transforms.simplex import StickBreakingTransform
from pyroxene.distributions.transforms.softplus import SoftplusLowerCholeskyTransform, SoftplusTransform
from pyroxene.distributions.transforms.spectral import DiscreteCosineTransform, HaarTransform
from pyroxene.distributions.transforms.spline import ConditionalSpline, Spline, conditional_spline, spline
from pyroxene.distributions.transforms.spline_autoregressive import (
    ConditionalSplineAutoregressive,
    SplineAutoregressive,
    conditional_spline_autoregressive,
    spline_autoregressive,
)
from pyroxene.distributions.transforms.spline_coupling import SplineCoupling, spline_coupling
from pyroxene.distributions.transforms.sylvester import Sylvester, sylvester
from pyroxene.distributions.transforms.triangular import VectorToSymmetricTransform, VectorToTriangularTransform
from pyroxene.distributions.transforms.unit_cholesky import UnitLowerCholeskyTransform
from pyroxene.distributions.transforms.zero_sum import ZeroSumTransform

__all__ = [
    "AbsTransform",
    "AffineAutoregressive",
    "AffineCoupling",
    "AffineTransform",
    "BatchNorm",
    "BlockAutoregressive",
    "CatTransform",
    "CholeskyTransform",
    "ComplexTransform",
    "ComposeTransform",
    "ComposeTransformModule",
    "ConditionalAffineAutoregressive",
    "ConditionalAffineCoupling",
    "ConditionalGeneralizedChannelPermute",
    "ConditionalHouseholder",
    "ConditionalMatrixExponential",
    "ConditionalNeuralAutoregressive",
    "ConditionalPlanar",
    "ConditionalRadial",
    "ConditionalSpline",
    "ConditionalSplineAutoregressive",
    "CorrCholeskyTransform",
    "CorrMatrixCholeskyTransform",
    "CumulativeDistributionTransform",
    "DiscreteCosineTransform",
    "ELUTransform",
    "ExpTransform",
    "GeneralizedChannelPermute",
    "HaarTransform",
    "Householder",
    "IndependentTransform",
    "L1BallTransform",
    "LeakyReLUTransform",
    "LowerCholeskyAffine",
    "LowerCholeskyTransform",
    "MatrixExponential",
    "NeuralAutoregressive",
    "Normalize",
    "OrderedTransform",
    "Permute",
    "Planar",
    "Polynomial",
    "PositiveDefiniteTransform",
    "PositivePowerTransform",
    "PowerTransform",
    "Radial",
    "ReshapeTransform",
    "ScaledUnitLowerCholeskyTransform",
    "SigmoidTransform",
    "SimplexToOrderedTransform",
    "SoftmaxTransform",
    "SoftplusLowerCholeskyTransform",
    "SoftplusTransform",
    "Spline",
    "SplineAutoregressive",
    "SplineCoupling",
    "StackTransform",
    "StickBreakingTransform",
    "Sylvester",
    "TanhTransform",
    "Transform",
    "TransformModule",
    "UnitLowerCholeskyTransform",
    "VectorToSymmetricTransform",
    "VectorToTriangularTransform",
    "ZeroSumTransform",
    "affine_autoregressive",
    "affine_coupling",
    "batchnorm",
    "biject_to",
    "block_autoregressive",
    "conditional_affine_autoregressive",
    "conditional_affine_coupling",
    "conditional_generalized_channel_permute",
    "conditional_householder",
    "conditional_matrix_exponential",
    "conditional_neural_autoregressive",
    "conditional_planar",
    "conditional_radial",
    "conditional_spline",
    "conditional_spline_autoregressive",
    "elu",
    "generalized_channel_permute",
    "householder",
    "identity_transform",
    "iterated",
    "leaky_relu",
    "matrix_exponential",
    "neural_autoregressive",
    "permute",
    "planar",
    "polynomial",
    "radial",
    "spline",
    "spline_autoregressive",
    "spline_coupling",
    "sylvester",
    "transform_to",
]

del _peer_registrations, _pickling, _registrations
