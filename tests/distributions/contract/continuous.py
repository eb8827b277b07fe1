"""Continuous classes of one variable."""

from __future__ import annotations

import scipy.stats as st
import torch

import pyroxene.distributions as dist
from tests.distributions.contract.kinds import below, case, large, positive, positive_vector, real, unit


def rising(batch, dtype):
    return torch.rand((*batch, 3), dtype=dtype).cumsum(-1)


CONTINUOUS = [
    case(dist.AffineBeta, concentration1=positive, concentration0=positive, loc=real, scale=positive),
    case(
        dist.AsymmetricLaplace,
        loc=real,
        scale=positive,
        asymmetry=positive,
        ref=lambda loc, scale, asymmetry: st.laplace_asymmetric(asymmetry, loc, scale),
    ),
    case(dist.AsymmetricLaplaceQuantile, loc=real, scale=positive, quantile=unit),
    case(
        dist.BetaProportion,
        mean=unit,
        concentration=positive,
        ref=lambda mean, concentration: st.beta(mean * concentration, (1 - mean) * concentration),
    ),
    case(
        dist.Dagum,
        concentration=positive,
        sharpness=positive,
        scale=positive,
        ref=lambda concentration, sharpness, scale: st.burr(sharpness, concentration, scale=scale),
    ),
    case(
        dist.ExGaussian,
        loc=real,
        scale=positive,
        rate=positive,
        ref=lambda loc, scale, rate: st.exponnorm(1 / (scale * rate), loc, scale),
    ),
    case(
        dist.GeneralizedExtremeValue,
        loc=real,
        scale=positive,
        concentration=real,
        ref=lambda loc, scale, concentration: st.genextreme(-concentration, loc, scale),
    ),
    case(
        dist.GeneralizedNormal,
        loc=real,
        scale=positive,
        power=positive,
        ref=lambda loc, scale, power: st.gennorm(power, loc, scale),
    ),
    case(
        dist.Gompertz,
        concentration=positive,
        rate=positive,
        ref=lambda concentration, rate: st.gompertz(concentration, scale=1 / rate),
    ),
    case(dist.HalfStudentT, df=positive, scale=positive),
    case(dist.Horseshoe, scale=positive),
    case(dist.Interpolated, x_points=rising, pdf_points=positive_vector),
    case(
        dist.InverseGaussian,
        loc=positive,
        concentration=positive,
        ref=lambda loc, concentration: st.invgauss(loc / concentration, scale=concentration),
    ),
    case(
        dist.JohnsonSU,
        skewness=real,
        tailweight=positive,
        loc=real,
        scale=positive,
        ref=lambda skewness, tailweight, loc, scale: st.johnsonsu(skewness, tailweight, loc, scale),
    ),
    case(dist.Levy, loc=real, scale=positive, ref=lambda loc, scale: st.levy(loc, scale)),
    case(dist.LogUniform, low=unit, high=large, ref=lambda low, high: st.loguniform(low, high)),
    case(dist.Logistic, loc=real, scale=positive, ref=lambda loc, scale: st.logistic(loc, scale)),
    case(dist.Moyal, loc=real, scale=positive, ref=lambda loc, scale: st.moyal(loc, scale)),
    case(dist.Rice, nu=positive, scale=positive, ref=lambda nu, scale: st.rice(nu / scale, scale=scale)),
    case(dist.SinhArcsinh, loc=real, scale=positive, skewness=real, tailweight=positive),
    case(
        dist.SkewLogistic,
        loc=real,
        scale=positive,
        asymmetry=positive,
        ref=lambda loc, scale, asymmetry: st.genlogistic(asymmetry, loc, scale),
    ),
    case(
        dist.SkewNormal,
        loc=real,
        scale=positive,
        alpha=real,
        ref=lambda loc, scale, alpha: st.skewnorm(alpha, loc, scale),
    ),
    case(dist.SoftAsymmetricLaplace, loc=real, scale=positive, asymmetry=positive, softness=positive),
    case(dist.SoftLaplace, loc=real, scale=positive, ref=lambda loc, scale: st.hypsecant(loc, scale)),
    case(dist.StableWithLogProb, stability=unit, skew=unit, scale=positive, loc=real),
    case(
        dist.Triangular,
        low=below,
        high=large,
        peak=positive,
        ref=lambda low, high, peak: st.triang((peak - low) / (high - low), low, high - low),
    ),
]
