"""Vectors, matrices and mixtures."""

from __future__ import annotations

import scipy.stats as st
import torch

import pyroxene.distributions as dist
from tests.distributions.contract.kinds import (
    case,
    fixed,
    large,
    normal,
    positive,
    positive_vector,
    real,
    tril,
    vector,
    weights,
)


def vectors(batch, dtype):
    return torch.randn((*batch, 4, 3), dtype=dtype)


def positive_vectors(batch, dtype):
    return torch.rand((*batch, 4, 3), dtype=dtype) + 0.5


def four(batch, dtype):
    return torch.randn((*batch, 4), dtype=dtype)


def four_positive(batch, dtype):
    return torch.rand((*batch, 4), dtype=dtype) + 0.5


def choice(batch, dtype):
    return torch.rand(batch) < 0.5


def groups(batch, dtype):
    return torch.tensor([0, 2, 0, 1])


def cauchy(batch, dtype):
    return dist.Cauchy(real(batch, dtype), positive(batch, dtype))


def direction(batch, dtype):
    return torch.nn.functional.normalize(torch.randn((*batch, 3), dtype=dtype), dim=-1)


def one_of_each(batch, dtype):
    return [
        dist.Normal(real(batch, dtype), positive(batch, dtype)),
        dist.Cauchy(real(batch, dtype), positive(batch, dtype)),
        dist.Gamma(positive(batch, dtype), positive(batch, dtype)),
    ]


def exponential_density(value, rate):
    return rate.log() - rate * value


def exponential_sampler(shape, rate):
    return torch.empty(shape, dtype=rate.dtype).exponential_() / rate


MULTIVARIATE = [
    case(dist.MultivariateStudentT, df=large, loc=vector, scale_tril=tril),
    case(dist.LKJ, dim=fixed(3), concentration=positive),
    case(dist.GaussianScaleMixture, coord_scale=positive_vector, component_logits=four, component_scale=four_positive),
    case(dist.MixtureOfDiagNormals, locs=vectors, coord_scale=positive_vectors, component_logits=four),
    case(dist.MixtureOfDiagNormalsSharedCovariance, locs=vectors, coord_scale=positive_vector, component_logits=four),
    case(dist.MaskedMixture, mask=choice, component0=normal, component1=cauchy),
    case(dist.OMTMultivariateNormal, loc=vector, scale_tril=tril),
    case(dist.NanMaskedNormal, loc=real, scale=positive, ref=lambda loc, scale: st.norm(loc, scale)),
    case(dist.NanMaskedMultivariateNormal, loc=vector, scale_tril=tril),
    case(
        dist.GroupedNormalNormal,
        prior_loc=vector,
        prior_scale=positive_vector,
        obs_scale=four_positive,
        group_idx=groups,
    ),
    case(
        dist.MixtureGeneral,
        mixing_distribution=weights,
        component_distributions=one_of_each,
        support=fixed(dist.constraints.real),
    ),
    case(dist.VonMisesFisher, mean_direction=direction, concentration=positive),
    case(dist.PowerSpherical, mean_direction=direction, concentration=positive),
    case(
        dist.CustomDist,
        log_density=fixed(exponential_density),
        sampler=fixed(exponential_sampler),
        support=fixed(dist.constraints.nonnegative),
        has_rsample=fixed(True),
        rate=positive,
    ),
]
