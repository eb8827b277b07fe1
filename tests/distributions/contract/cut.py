"""Truncated and censored classes."""

from __future__ import annotations

import numpy as np
import scipy.stats as st
import torch

import pyroxene.distributions as dist
from tests.distributions.contract.kinds import below, case, fixed, large, normal, positive, real, unit


def choice(batch, dtype):
    return torch.rand(batch) < 0.5


def gamma(batch, dtype):
    return dist.Gamma(positive(batch, dtype), positive(batch, dtype))


def poisson(batch, dtype):
    return dist.Poisson(large(batch, dtype))


def cauchy(batch, dtype):
    return dist.Cauchy(real(batch, dtype), positive(batch, dtype))


def truncated_normal(loc, scale, low=-np.inf, high=np.inf):
    return st.truncnorm((low - loc) / scale, (high - loc) / scale, loc, scale)


CUT = [
    case(dist.TruncatedDistribution, base_dist=gamma, low=unit, high=large),
    case(dist.TruncatedDistribution, base_dist=poisson, low=fixed(2)),
    case(dist.LeftTruncatedDistribution, base_dist=normal, low=real),
    case(dist.RightTruncatedDistribution, base_dist=normal, high=real),
    case(dist.TwoSidedTruncatedDistribution, base_dist=cauchy, low=below, high=positive),
    case(dist.TruncatedNormal, loc=real, scale=positive, low=below, high=positive, ref=truncated_normal),
    case(dist.TruncatedNormal, loc=real, scale=positive, low=large, ref=truncated_normal),
    case(dist.TruncatedNormal, loc=real, scale=positive, ref=truncated_normal),
    case(dist.TruncatedCauchy, loc=real, scale=positive, low=below, high=positive),
    case(dist.TruncatedGamma, concentration=positive, rate=positive, low=unit, high=large),
    case(dist.LeftTruncatedGamma, base_dist=gamma, low=unit),
    case(dist.RightTruncatedGamma, base_dist=gamma, high=large),
    case(dist.TwoSidedTruncatedGamma, base_dist=gamma, low=unit, high=large),
    case(dist.LeftCensoredDistribution, base_dist=normal, censored=choice),
    case(dist.RightCensoredDistribution, base_dist=gamma, censored=choice),
    case(dist.IntervalCensoredDistribution, base_dist=normal, left_censored=choice, right_censored=choice),
    case(dist.Censored, base_dist=normal, lower=below, upper=positive),
    case(dist.Censored, base_dist=poisson, upper=fixed(7)),
]
