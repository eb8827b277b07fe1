"""Probability distributions: torch's, with methods for shapes and masks, and our own; this file hands names on."""

from __future__ import annotations

from pyroxene.distributions import coalescent, conditional, constraints, hmm, kl, spanning_tree, stable, transforms
from pyroxene.distributions import kl_closed as _kl_closed
from pyroxene.distributions import structured_kl as _structured_kl
from pyroxene.distributions.coalescent import CoalescentRateLikelihood, CoalescentTimes, CoalescentTimesWithRate
from pyroxene.distributions.conditional import (
    ConditionalDistribution,
    ConditionalTransform,
    ConditionalTransformedDistribution,
    ConditionalTransformModule,
)
from pyroxene.distributions.distribution import Distribution
from pyroxene.distributions.families.beta import AffineBeta, BetaProportion
from pyroxene.distributions.families.bounded import LogUniform, Triangular
from pyroxene.distributions.families.censored import (
    Censored,
    IntervalCensoredDistribution,
    LeftCensoredDistribution,
    RightCensoredDistribution,
)
from pyroxene.distributions.families.circulant_normal import CirculantNormal
from pyroxene.distributions.families.conjugate import BetaBinomial, DirichletMultinomial, GammaPoisson
from pyroxene.distributions.families.custom import CustomDist
from pyroxene.distributions.families.delta import Delta
from pyroxene.distributions.families.diagonal_mixtures import (
    GaussianScaleMixture,
    MixtureOfDiagNormals,
    MixtureOfDiagNormalsSharedCovariance,
)
from pyroxene.distributions.families.directional import PowerSpherical, VonMisesFisher
from pyroxene.distributions.families.discrete_uniform import DiscreteUniform
from pyroxene.distributions.families.discrete_weibull import DiscreteWeibull
from pyroxene.distributions.families.empirical import Empirical
from pyroxene.distributions.families.euler_maruyama import EulerMaruyama
from pyroxene.distributions.families.extended import ExtendedBetaBinomial, ExtendedBinomial
from pyroxene.distributions.families.extremes import GeneralizedExtremeValue, Gompertz, Moyal
from pyroxene.distributions.families.first_passage import InverseGaussian, Levy, Wald
from pyroxene.distributions.families.flat import Flat, HalfFlat
from pyroxene.distributions.families.folded import FoldedDistribution
from pyroxene.distributions.families.garch import GARCH11
from pyroxene.distributions.families.gaussian_copula import GaussianCopula, GaussianCopulaBeta
from pyroxene.distributions.families.gaussian_state_space import GaussianStateSpace
from pyroxene.distributions.families.generalized_normal import GeneralizedNormal
from pyroxene.distributions.families.grouped_normal import GroupedNormalNormal
from pyroxene.distributions.families.half_student_t import HalfStudentT
from pyroxene.distributions.families.horseshoe import Horseshoe
from pyroxene.distributions.families.hurdle import HurdleDistribution, HurdleLogits, HurdleProbs
from pyroxene.distributions.families.hurdle_named import (
    HurdleGamma,
    HurdleLogNormal,
    HurdleNegativeBinomial,
    HurdleNegativeBinomial2,
    HurdlePoisson,
)
from pyroxene.distributions.families.hypergeometric import HyperGeometric
from pyroxene.distributions.families.improper_uniform import ImproperUniform
from pyroxene.distributions.families.interpolated import Interpolated
from pyroxene.distributions.families.kronecker_normal import KroneckerNormal
from pyroxene.distributions.families.laplace import (
    AsymmetricLaplace,
    AsymmetricLaplaceQuantile,
    SoftAsymmetricLaplace,
    SoftLaplace,
)
from pyroxene.distributions.families.linear_series import AR, GaussianRandomWalk
from pyroxene.distributions.families.lkj import LKJ
from pyroxene.distributions.families.lkj_covariance import LKJCholeskyCov
from pyroxene.distributions.families.log_normal_negative_binomial import LogNormalNegativeBinomial
from pyroxene.distributions.families.logistic import Dagum, Logistic, SkewLogistic
from pyroxene.distributions.families.masked_mixture import MaskedMixture
from pyroxene.distributions.families.matrix_normal import MatrixNormal
from pyroxene.distributions.families.mixture_general import Mixture, MixtureGeneral
from pyroxene.distributions.families.multivariate_student import MultivariateStudentT
from pyroxene.distributions.families.nan_masked import NanMaskedMultivariateNormal, NanMaskedNormal
from pyroxene.distributions.families.negative_binomial import (
    BetaNegativeBinomial,
    NegativeBinomial2,
    NegativeBinomialLogits,
    NegativeBinomialProbs,
)
from pyroxene.distributions.families.omt_normal import OMTMultivariateNormal
from pyroxene.distributions.families.one_one_matching import OneOneMatching
from pyroxene.distributions.families.one_two_matching import OneTwoMatching
from pyroxene.distributions.families.ordered import OrderedLogistic, OrderedProbit
from pyroxene.distributions.families.plackett_luce import PlackettLuce
from pyroxene.distributions.families.polya_gamma import TruncatedPolyaGamma
from pyroxene.distributions.families.projected_normal import ProjectedNormal
from pyroxene.distributions.families.reshaped_normal import JohnsonSU, SinhArcsinh
from pyroxene.distributions.families.rice import Rice
from pyroxene.distributions.families.sine_bivariate_von_mises import SineBivariateVonMises
from pyroxene.distributions.families.sine_skewed import SineSkewed
from pyroxene.distributions.families.skellam import Skellam
from pyroxene.distributions.families.skew_normal import ExGaussian, SkewNormal
from pyroxene.distributions.families.spatial import CAR, ICAR
from pyroxene.distributions.families.straight_through import (
    RelaxedBernoulliStraightThrough,
    RelaxedOneHotCategoricalStraightThrough,
)
from pyroxene.distributions.families.truncated import (
    LeftTruncatedDistribution,
    RightTruncatedDistribution,
    Truncated,
    TruncatedDistribution,
    TwoSidedTruncatedDistribution,
)
from pyroxene.distributions.families.truncated_named import (
    LeftTruncatedGamma,
    RightTruncatedGamma,
    TruncatedCauchy,
    TruncatedGamma,
    TruncatedNormal,
    TwoSidedTruncatedGamma,
)
from pyroxene.distributions.families.unit import Unit
from pyroxene.distributions.families.von_mises_3d import VonMises3D
from pyroxene.distributions.families.wishart import InverseWishart, InverseWishartCholesky, WishartCholesky
from pyroxene.distributions.families.zero_inflated import (
    ZeroInflatedDistribution,
    ZeroInflatedLogits,
    ZeroInflatedNegativeBinomial,
    ZeroInflatedNegativeBinomial2,
    ZeroInflatedPoisson,
    ZeroInflatedProbs,
)
from pyroxene.distributions.families.zero_sum_normal import ZeroSumNormal
from pyroxene.distributions.families.zipf import Zipf
from pyroxene.distributions.hmm import (
    DiscreteHMM,
    GammaGaussianHMM,
    GaussianHMM,
    GaussianMRF,
    IndependentHMM,
    LinearHMM,
)
from pyroxene.distributions.kl import kl_divergence, register_kl
from pyroxene.distributions.rejector import Rejector
from pyroxene.distributions.score_parts import ScoreParts
from pyroxene.distributions.spanning_tree import SpanningTree
from pyroxene.distributions.stable import Stable, StableWithLogProb
from pyroxene.distributions.torch import (
    Bernoulli,
    Beta,
    Binomial,
    Categorical,
    Cauchy,
    Chi2,
    ContinuousBernoulli,
    Dirichlet,
    Exponential,
    ExponentialFamily,
    FisherSnedecor,
    Gamma,
    Geometric,
    Gumbel,
    HalfCauchy,
    HalfNormal,
    Independent,
    InverseGamma,
    Kumaraswamy,
    Laplace,
    LKJCholesky,
    LogisticNormal,
    LogNormal,
    LowRankMultivariateNormal,
    MixtureSameFamily,
    Multinomial,
    MultivariateNormal,
    NegativeBinomial,
    Normal,
    OneHotCategorical,
    OneHotCategoricalStraightThrough,
    Pareto,
    Poisson,
    RelaxedBernoulli,
    RelaxedOneHotCategorical,
    StudentT,
    TransformedDistribution,
    Uniform,
    VonMises,
    Weibull,
    Wishart,
)
from pyroxene.distributions.torch.later import LATER
from pyroxene.distributions.torch_distribution import (
    ExpandedDistribution,
    MaskedDistribution,
    TorchDistribution,
    TorchDistributionMixin,
)
from pyroxene.distributions.torch_transform import ComposeTransformModule, TransformModule
from pyroxene.distributions.transforms import biject_to, transform_to
from pyroxene.distributions.util import enable_validation, is_validation_enabled, validation_enabled

__all__ = [
    "AR",
    "AffineBeta",
    "AsymmetricLaplace",
    "AsymmetricLaplaceQuantile",
    "Bernoulli",
    "Beta",
    "BetaBinomial",
    "BetaNegativeBinomial",
    "BetaProportion",
    "Binomial",
    "CAR",
    "Categorical",
    "Cauchy",
    "Censored",
    "Chi2",
    "CirculantNormal",
    "CoalescentRateLikelihood",
    "CoalescentTimes",
    "CoalescentTimesWithRate",
    "ComposeTransformModule",
    "ConditionalDistribution",
    "ConditionalTransform",
    "ConditionalTransformModule",
    "ConditionalTransformedDistribution",
    "ContinuousBernoulli",
    "CustomDist",
    "Dagum",
    "Delta",
    "Dirichlet",
    "DirichletMultinomial",
    "DiscreteHMM",
    "DiscreteUniform",
    "DiscreteWeibull",
    "Distribution",
    "Empirical",
    "EulerMaruyama",
    "ExGaussian",
    "ExpandedDistribution",
    "Exponential",
    "ExponentialFamily",
    "ExtendedBetaBinomial",
    "ExtendedBinomial",
    "FisherSnedecor",
    "Flat",
    "FoldedDistribution",
    "GARCH11",
    "Gamma",
    "GammaGaussianHMM",
    "GammaPoisson",
    "GaussianCopula",
    "GaussianCopulaBeta",
    "GaussianHMM",
    "GaussianMRF",
    "GaussianRandomWalk",
    "GaussianScaleMixture",
    "GaussianStateSpace",
    "GeneralizedExtremeValue",
    "GeneralizedNormal",
    "Geometric",
    "Gompertz",
    "GroupedNormalNormal",
    "Gumbel",
    "HalfCauchy",
    "HalfFlat",
    "HalfNormal",
    "HalfStudentT",
    "Horseshoe",
    "HurdleDistribution",
    "HurdleGamma",
    "HurdleLogNormal",
    "HurdleLogits",
    "HurdleNegativeBinomial",
    "HurdleNegativeBinomial2",
    "HurdlePoisson",
    "HurdleProbs",
    "HyperGeometric",
    "ICAR",
    "ImproperUniform",
    "Independent",
    "IndependentHMM",
    "Interpolated",
    "IntervalCensoredDistribution",
    "InverseGamma",
    "InverseGaussian",
    "InverseWishart",
    "InverseWishartCholesky",
    "JohnsonSU",
    "KroneckerNormal",
    "Kumaraswamy",
    "LKJ",
    "LKJCholesky",
    "LKJCholeskyCov",
    "Laplace",
    "LeftCensoredDistribution",
    "LeftTruncatedDistribution",
    "LeftTruncatedGamma",
    "Levy",
    "LinearHMM",
    "LogNormal",
    "LogNormalNegativeBinomial",
    "LogUniform",
    "Logistic",
    "LogisticNormal",
    "LowRankMultivariateNormal",
    "MaskedDistribution",
    "MaskedMixture",
    "MatrixNormal",
    "Mixture",
    "MixtureGeneral",
    "MixtureOfDiagNormals",
    "MixtureOfDiagNormalsSharedCovariance",
    "MixtureSameFamily",
    "Moyal",
    "Multinomial",
    "MultivariateNormal",
    "MultivariateStudentT",
    "NanMaskedMultivariateNormal",
    "NanMaskedNormal",
    "NegativeBinomial",
    "NegativeBinomial2",
    "NegativeBinomialLogits",
    "NegativeBinomialProbs",
    "Normal",
    "OMTMultivariateNormal",
    "OneHotCategorical",
    "OneHotCategoricalStraightThrough",
    "OneOneMatching",
    "OneTwoMatching",
    "OrderedLogistic",
    "OrderedProbit",
    "Pareto",
    "PlackettLuce",
    "Poisson",
    "PowerSpherical",
    "ProjectedNormal",
    "Rejector",
    "RelaxedBernoulli",
    "RelaxedBernoulliStraightThrough",
    "RelaxedOneHotCategorical",
    "RelaxedOneHotCategoricalStraightThrough",
    "Rice",
    "RightCensoredDistribution",
    "RightTruncatedDistribution",
    "RightTruncatedGamma",
    "ScoreParts",
    "SineBivariateVonMises",
    "SineSkewed",
    "SinhArcsinh",
    "Skellam",
    "SkewLogistic",
    "SkewNormal",
    "SoftAsymmetricLaplace",
    "SoftLaplace",
    "SpanningTree",
    "Stable",
    "StableWithLogProb",
    "StudentT",
    "TorchDistribution",
    "TorchDistributionMixin",
    "TransformModule",
    "TransformedDistribution",
    "Triangular",
    "Truncated",
    "TruncatedCauchy",
    "TruncatedDistribution",
    "TruncatedGamma",
    "TruncatedNormal",
    "TruncatedPolyaGamma",
    "TwoSidedTruncatedDistribution",
    "TwoSidedTruncatedGamma",
    "Uniform",
    "Unit",
    "VonMises",
    "VonMises3D",
    "VonMisesFisher",
    "Wald",
    "Weibull",
    "Wishart",
    "WishartCholesky",
    "ZeroInflatedDistribution",
    "ZeroInflatedLogits",
    "ZeroInflatedNegativeBinomial",
    "ZeroInflatedNegativeBinomial2",
    "ZeroInflatedPoisson",
    "ZeroInflatedProbs",
    "ZeroSumNormal",
    "Zipf",
    "biject_to",
    "coalescent",
    "conditional",
    "constraints",
    "enable_validation",
    "hmm",
    "is_validation_enabled",
    "kl",
    "kl_divergence",
    "register_kl",
    "spanning_tree",
    "stable",
    "transform_to",
    "transforms",
    "validation_enabled",
]

__all__ += LATER
globals().update(LATER)

del _kl_closed, _structured_kl  # they register what they know
