"""Distributions with structure: sums of zero, matrices, grids and rings, random covariances, copulas."""

from __future__ import annotations

import torch

import pyroxene.distributions as dist
from tests.distributions.contract.kinds import (
    case,
    fixed,
    large,
    normal_rows,
    positive,
    positive_vector,
    spd,
    tril,
)


def grid(batch, dtype):
    return torch.randn((*batch, 2, 3), dtype=dtype)


def pair_tril(batch, dtype):
    return tril(batch, dtype)[..., :2, :2]


def four(batch, dtype):
    return torch.randn((*batch, 4), dtype=dtype)


def ring(batch, dtype):
    row = torch.tensor([2.0, 0.5, 0.2, 0.5], dtype=dtype)
    return row * positive((*batch, 1), dtype)


def grid_of_six(batch, dtype):
    return torch.randn((*batch, 6), dtype=dtype)


def factors(batch, dtype):
    return [pair_tril(batch, dtype), tril(batch, dtype)]


def covariances(batch, dtype):
    return [factor @ factor.mT for factor in factors(batch, dtype)]


def correlation(batch, dtype):
    return dist.LKJ(3, torch.full(batch, 2.0, dtype=dtype)).sample()


def correlation_tril(batch, dtype):
    return torch.linalg.cholesky(correlation(batch, dtype))


def gamma_rows(batch, dtype):
    return dist.Gamma(positive((*batch, 3), dtype), positive((*batch, 3), dtype))


def half_normal(batch, dtype):
    return dist.HalfNormal(positive(batch, dtype))


def half_normal_rows(batch, dtype):
    return dist.HalfNormal(positive((*batch, 3), dtype)).to_event(1)


STRUCTURED = [
    case(dist.ZeroSumNormal, scale=positive, event_shape=fixed((4,))),
    case(dist.ZeroSumNormal, scale=positive, event_shape=fixed((2, 3))),
    case(dist.MatrixNormal, loc=grid, scale_tril_row=pair_tril, scale_tril_column=tril),
    case(dist.InverseWishart, concentration=large, scale_matrix=spd),
    case(dist.InverseWishart, concentration=large, rate_matrix=spd),
    case(dist.InverseWishart, concentration=large, scale_tril=tril),
    case(dist.InverseWishartCholesky, concentration=large, scale_tril=tril),
    case(dist.WishartCholesky, concentration=large, scale_matrix=spd),
    case(dist.WishartCholesky, concentration=large, scale_tril=tril),
    case(dist.CirculantNormal, loc=four, covariance_row=ring),
    case(dist.CirculantNormal, loc=four, covariance_rfft=positive_vector),
    case(dist.KroneckerNormal, loc=grid_of_six, covs=covariances),
    case(dist.KroneckerNormal, loc=grid_of_six, chols=factors, sigma=positive),
    case(dist.GaussianCopula, marginal_dist=normal_rows, correlation_matrix=correlation),
    case(dist.GaussianCopula, marginal_dist=gamma_rows, correlation_cholesky=correlation_tril),
    case(
        dist.GaussianCopulaBeta,
        concentration1=positive_vector,
        concentration0=positive_vector,
        correlation_matrix=correlation,
    ),
    case(dist.LKJCholeskyCov, eta=positive, n=fixed(3), sd_dist=half_normal),
    case(dist.LKJCholeskyCov, eta=positive, n=fixed(3), sd_dist=half_normal_rows),
]
