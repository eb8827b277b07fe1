"""The classes that torch has."""

from __future__ import annotations

import numpy as np
import scipy.stats as st
import torch
import torch.distributions as torchdist

import pyroxene.distributions as dist
from tests.distributions.contract.kinds import (
    below,
    case,
    components,
    fixed,
    large,
    normal,
    normal_rows,
    positive,
    positive_vector,
    real,
    simplex,
    spd,
    tall,
    trials,
    tril,
    unit,
    vector,
    weights,
)

TORCH_CASES = [
    case(dist.Bernoulli, probs=unit, ref=lambda probs: st.bernoulli(probs)),
    case(dist.Bernoulli, logits=real),
    case(
        dist.Beta,
        concentration1=positive,
        concentration0=positive,
        ref=lambda concentration1, concentration0: st.beta(concentration1, concentration0),
    ),
    case(dist.Binomial, total_count=trials, probs=unit, ref=lambda total_count, probs: st.binom(total_count, probs)),
    case(dist.Binomial, total_count=trials, logits=real),
    case(dist.Categorical, probs=simplex),
    case(dist.Categorical, logits=vector),
    case(dist.Cauchy, loc=real, scale=positive, ref=lambda loc, scale: st.cauchy(loc, scale)),
    case(dist.Chi2, df=positive, ref=lambda df: st.chi2(df)),
    case(dist.ContinuousBernoulli, probs=unit),
    case(dist.ContinuousBernoulli, logits=real),
    case(dist.Dirichlet, concentration=positive_vector),
    case(dist.Exponential, rate=positive, ref=lambda rate: st.expon(scale=1 / rate)),
    case(dist.FisherSnedecor, df1=positive, df2=positive, ref=lambda df1, df2: st.f(df1, df2)),
    case(
        dist.Gamma,
        concentration=positive,
        rate=positive,
        ref=lambda concentration, rate: st.gamma(concentration, scale=1 / rate),
    ),
    case(dist.Geometric, probs=unit, ref=lambda probs: st.geom(probs, loc=-1)),
    case(dist.Geometric, logits=real),
    case(dist.Gumbel, loc=real, scale=positive, ref=lambda loc, scale: st.gumbel_r(loc, scale)),
    case(dist.HalfCauchy, scale=positive, ref=lambda scale: st.halfcauchy(scale=scale)),
    case(dist.HalfNormal, scale=positive, ref=lambda scale: st.halfnorm(scale=scale)),
    case(
        dist.InverseGamma,
        concentration=positive,
        rate=positive,
        ref=lambda concentration, rate: st.invgamma(concentration, scale=rate),
    ),
    case(dist.Kumaraswamy, concentration1=positive, concentration0=positive),
    case(dist.LKJCholesky, dim=fixed(3), concentration=positive),
    case(dist.Laplace, loc=real, scale=positive, ref=lambda loc, scale: st.laplace(loc, scale)),
    case(dist.LogNormal, loc=real, scale=positive, ref=lambda loc, scale: st.lognorm(scale, scale=np.exp(loc))),
    case(dist.LogisticNormal, loc=vector, scale=positive_vector),
    case(dist.LowRankMultivariateNormal, loc=vector, cov_factor=tall, cov_diag=positive_vector),
    case(dist.MixtureSameFamily, mixture_distribution=weights, component_distribution=components),
    case(dist.Multinomial, total_count=fixed(5), probs=simplex),
    case(dist.Multinomial, total_count=fixed(5), logits=vector),
    case(dist.MultivariateNormal, loc=vector, scale_tril=tril),
    case(dist.MultivariateNormal, loc=vector, covariance_matrix=spd),
    case(dist.MultivariateNormal, loc=vector, precision_matrix=spd),
    case(
        dist.NegativeBinomial,
        total_count=trials,
        probs=unit,
        ref=lambda total_count, probs: st.nbinom(total_count, 1 - probs),
    ),
    case(dist.NegativeBinomial, total_count=trials, logits=real),
    case(dist.Normal, loc=real, scale=positive, ref=lambda loc, scale: st.norm(loc, scale)),
    case(dist.OneHotCategorical, probs=simplex),
    case(dist.OneHotCategorical, logits=vector),
    case(dist.OneHotCategoricalStraightThrough, probs=simplex),
    case(dist.Pareto, scale=positive, alpha=positive, ref=lambda scale, alpha: st.pareto(alpha, scale=scale)),
    case(dist.Poisson, rate=positive, ref=lambda rate: st.poisson(rate)),
    case(dist.RelaxedBernoulli, temperature=fixed(torch.tensor(0.7, dtype=torch.float64)), probs=unit),
    case(dist.RelaxedOneHotCategorical, temperature=fixed(torch.tensor(0.7, dtype=torch.float64)), logits=vector),
    case(dist.StudentT, df=positive, loc=real, scale=positive, ref=lambda df, loc, scale: st.t(df, loc, scale)),
    case(dist.TransformedDistribution, base_distribution=normal, transforms=fixed(torchdist.ExpTransform())),
    case(dist.Uniform, low=below, high=positive, ref=lambda low, high: st.uniform(low, high - low)),
    case(
        dist.VonMises,
        atol=1e-6,  # torch's polynomial for the Bessel function
        loc=real,
        concentration=positive,
        ref=lambda loc, concentration: st.vonmises(concentration, loc),
    ),
    case(
        dist.Weibull,
        scale=positive,
        concentration=positive,
        ref=lambda scale, concentration: st.weibull_min(concentration, scale=scale),
    ),
    case(dist.Wishart, df=large, scale_tril=tril),
    case(dist.Wishart, df=large, covariance_matrix=spd),
    case(dist.Independent, base_distribution=normal_rows, reinterpreted_batch_ndims=fixed(1)),
]
if hasattr(dist, "GeneralizedPareto"):
    TORCH_CASES.append(
        case(
            dist.GeneralizedPareto,
            loc=real,
            scale=positive,
            concentration=unit,
            ref=lambda loc, scale, concentration: st.genpareto(concentration, loc, scale),
        )
    )
