"""Counts and categories."""

from __future__ import annotations

import numpy as np
import scipy.stats as st
import torch

import pyroxene.distributions as dist
from tests.distributions.contract.kinds import case, fixed, large, positive, positive_vector, real, trials, unit, vector


def cuts(batch, dtype):
    return torch.linspace(-1.0, 1.5, 3, dtype=dtype) + 0.1 * torch.rand((*batch, 1), dtype=dtype)


def count_base(batch, dtype):
    return dist.Poisson(positive(batch, dtype))


def positive_base(batch, dtype):
    return dist.Gamma(positive(batch, dtype), positive(batch, dtype))


def population(batch, dtype):
    return torch.full(batch, 9.0, dtype=dtype)


def minus_two(batch, dtype):
    return torch.full(batch, -2.0, dtype=dtype)


def four(batch, dtype):
    return torch.full(batch, 4.0, dtype=dtype)


def power(batch, dtype):
    return torch.rand(batch, dtype=dtype) + 2.5


COUNTS = [
    case(
        dist.BetaBinomial,
        concentration1=positive,
        concentration0=positive,
        total_count=trials,
        ref=lambda concentration1, concentration0, total_count: st.betabinom(
            total_count, concentration1, concentration0
        ),
    ),
    case(dist.DirichletMultinomial, concentration=positive_vector, total_count=trials),
    case(
        dist.GammaPoisson,
        concentration=positive,
        rate=positive,
        ref=lambda concentration, rate: st.nbinom(concentration, rate / (1 + rate)),
    ),
    case(
        dist.NegativeBinomialProbs,
        total_count=positive,
        probs=unit,
        ref=lambda total_count, probs: st.nbinom(total_count, 1 - probs),
    ),
    case(
        dist.NegativeBinomialLogits,
        total_count=positive,
        logits=real,
        ref=lambda total_count, logits: st.nbinom(total_count, 1 / (1 + np.exp(logits))),
    ),
    case(
        dist.NegativeBinomial2,
        mean=positive,
        concentration=positive,
        ref=lambda mean, concentration: st.nbinom(concentration, concentration / (concentration + mean)),
    ),
    case(
        dist.BetaNegativeBinomial,
        concentration1=positive,
        concentration0=large,
        n=trials,
        ref=lambda concentration1, concentration0, n: st.betanbinom(n, concentration0, concentration1),
    ),
    case(dist.ZeroInflatedDistribution, base_dist=count_base, gate=unit),
    case(dist.ZeroInflatedProbs, base_dist=count_base, gate=unit),
    case(dist.ZeroInflatedLogits, base_dist=count_base, gate_logits=real),
    case(dist.ZeroInflatedPoisson, rate=positive, gate=unit),
    case(dist.ZeroInflatedPoisson, rate=positive, gate_logits=real),
    case(dist.ZeroInflatedNegativeBinomial, total_count=trials, probs=unit, gate=unit),
    case(dist.ZeroInflatedNegativeBinomial, total_count=trials, logits=real, gate_logits=real),
    case(dist.ZeroInflatedNegativeBinomial2, mean=positive, concentration=positive, gate=unit),
    case(dist.HurdleDistribution, base_dist=count_base, gate=unit),
    case(dist.HurdleDistribution, base_dist=positive_base, gate_logits=real),
    case(dist.HurdleProbs, base_dist=count_base, gate=unit),
    case(dist.HurdleLogits, base_dist=positive_base, gate_logits=real),
    case(dist.HurdlePoisson, gate=unit, rate=positive),
    case(dist.HurdleNegativeBinomial, gate=unit, total_count=trials, probs=unit),
    case(dist.HurdleNegativeBinomial, gate=unit, total_count=trials, logits=real),
    case(dist.HurdleNegativeBinomial2, gate=unit, mean=positive, concentration=positive),
    case(dist.HurdleGamma, gate=unit, concentration=positive, rate=positive),
    case(dist.HurdleLogNormal, gate=unit, loc=real, scale=positive),
    case(dist.OrderedLogistic, predictor=real, cutpoints=cuts),
    case(dist.OrderedProbit, predictor=real, cutpoints=cuts, scale=positive),
    case(
        dist.RelaxedBernoulliStraightThrough,
        temperature=fixed(torch.tensor(0.7, dtype=torch.float64)),
        probs=unit,
    ),
    case(
        dist.RelaxedOneHotCategoricalStraightThrough,
        temperature=fixed(torch.tensor(0.7, dtype=torch.float64)),
        logits=vector,
    ),
    case(dist.ExtendedBinomial, total_count=trials, probs=unit),
    case(dist.ExtendedBinomial, total_count=trials, logits=real),
    case(dist.ExtendedBetaBinomial, concentration1=positive, concentration0=positive, total_count=trials),
    case(dist.LogNormalNegativeBinomial, total_count=positive, logits=real, multiplicative_noise_scale=positive),
    case(
        dist.DiscreteUniform,
        low=minus_two,
        high=trials,
        ref=lambda low, high: st.randint(low, high + 1),
    ),
    case(dist.DiscreteWeibull, q=unit, beta=positive),
    case(
        dist.HyperGeometric,
        N=population,
        k=four,
        n=trials,
        ref=lambda N, k, n: st.hypergeom(N.astype(int), k.astype(int), n.astype(int)),
    ),
    case(dist.Skellam, rate1=positive, rate2=positive, ref=lambda rate1, rate2: st.skellam(rate1, rate2)),
    case(dist.Zipf, power=power, ref=lambda power: st.zipf(power)),
    case(dist.PlackettLuce, scores=positive_vector),
    case(dist.PlackettLuce, logits=vector),
]
