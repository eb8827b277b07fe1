"""Matchings, trees, ancestors and directions."""

from __future__ import annotations

import torch

import pyroxene.distributions as dist
from tests.distributions.contract.kinds import case, positive, positive_vector, real, vector


def square(batch, dtype):
    return torch.randn((*batch, 3, 3), dtype=dtype)


def two_to_one(batch, dtype):
    return torch.randn((*batch, 4, 2), dtype=dtype)


def six(batch, dtype):
    return torch.randn((*batch, 6), dtype=dtype)


def small_pair(batch, dtype):
    return torch.rand((*batch, 2), dtype=dtype) - 0.5


def angles(batch, dtype):
    return dist.VonMises(torch.randn((*batch, 2), dtype=dtype), positive((*batch, 2), dtype)).to_event(1)


SHAPES = [
    case(dist.CoalescentTimes, leaf_times=vector, rate=positive),
    case(dist.CoalescentTimesWithRate, leaf_times=vector, rate_grid=positive_vector),
    case(dist.OneOneMatching, logits=square),
    case(dist.OneTwoMatching, logits=two_to_one),
    case(dist.ProjectedNormal, concentration=vector),
    case(dist.ProjectedNormal, concentration=six),
    case(
        dist.SineBivariateVonMises,
        phi_loc=real,
        psi_loc=real,
        phi_concentration=positive,
        psi_concentration=positive,
        correlation=real,
    ),
    case(
        dist.SineBivariateVonMises,
        phi_loc=real,
        psi_loc=real,
        phi_concentration=positive,
        psi_concentration=positive,
        weighted_correlation=real,
    ),
    case(dist.SineSkewed, base_dist=angles, skewness=small_pair),
    case(dist.SpanningTree, edge_logits=six),
    case(dist.TruncatedPolyaGamma, prototype=real),
    case(dist.VonMises3D, concentration=vector),
]
