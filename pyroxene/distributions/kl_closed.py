"""Kullback-Leibler divergences in closed form between pairs of one family that torch's registry lacks.

Each function is KL(p || q), the mean under p of log p - log q; a derivation is beside it where it is not a definition.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.distributions as torchdist
from torch.distributions.kl import register_kl

from pyroxene.distributions.families.beta import AffineBeta
from pyroxene.distributions.families.bounded import LogUniform
from pyroxene.distributions.families.directional import VonMisesFisher
from pyroxene.distributions.families.discrete_uniform import DiscreteUniform
from pyroxene.distributions.families.first_passage import InverseGaussian
from pyroxene.distributions.families.truncated_named import TruncatedNormal
from pyroxene.distributions.families.univariate import EULER_GAMMA
from pyroxene.distributions.tails.circular import mean_length_deficit

__all__: list[str] = []

Tensor = torch.Tensor


def _where_inside(divergence: Tensor, p: Any, q: Any) -> Tensor:
    """The divergence, infinite where p gives mass to what q excludes."""
    return torch.where((q.low <= p.low) & (p.high <= q.high), divergence, math.inf)


# Weibull: (x / scale)^k has a standard exponential distribution under p


@register_kl(torchdist.Weibull, torchdist.Weibull)
def _kl_weibull(p: torchdist.Weibull, q: torchdist.Weibull) -> Tensor:
    """C. Bauckhage (2013), Computing the Kullback-Leibler divergence between two Weibull distributions."""
    ratio = q.concentration / p.concentration
    log_scales = p.scale.log() - q.scale.log()
    mean_power = torch.exp(q.concentration * log_scales + torch.lgamma(1 + ratio))
    return mean_power - 1 - ratio.log() - q.concentration * log_scales + EULER_GAMMA * (ratio - 1)


# Inverse Gaussian: the mean of 1 / x is 1 / loc + 1 / concentration


@register_kl(InverseGaussian, InverseGaussian)
def _kl_inverse_gaussian(p: InverseGaussian, q: InverseGaussian) -> Tensor:
    shape = q.concentration / p.concentration
    apart = q.concentration * ((p.loc - q.loc) / q.loc).square() / p.loc
    return 0.5 * (shape - 1 - shape.log() + apart)


# Uniform in some measure; a logarithm maps LogUniform to Uniform, and leaves the divergence as it is


@register_kl(LogUniform, LogUniform)
def _kl_log_uniform(p: LogUniform, q: LogUniform) -> Tensor:
    return _where_inside(_log_width(q).log() - _log_width(p).log(), p, q)


@register_kl(LogUniform, torchdist.Uniform)
def _kl_log_uniform_uniform(p: LogUniform, q: torchdist.Uniform) -> Tensor:
    """The mean of log x under p is the middle of the ends' logs."""
    log_density = -_log_width(p).log() - (p.low.log() + p.high.log()) / 2
    return _where_inside(log_density + (q.high - q.low).log(), p, q)


@register_kl(torchdist.Uniform, LogUniform)
def _kl_uniform_log_uniform(p: torchdist.Uniform, q: LogUniform) -> Tensor:
    """The mean of log x under p is (h log h - l log l) / (h - l) - 1; x log x tends to 0 at 0."""
    low, high = p.low.clamp(min=0.0), p.high.clamp(min=0.0)
    mean_log = (torch.special.xlogy(high, high) - torch.special.xlogy(low, low)) / (p.high - p.low) - 1
    return _where_inside(mean_log + _log_width(q).log() - (p.high - p.low).log(), p, q)


@register_kl(DiscreteUniform, DiscreteUniform)
def _kl_discrete_uniform(p: DiscreteUniform, q: DiscreteUniform) -> Tensor:
    return _where_inside(q.entropy() - p.entropy(), p, q)


def _log_width(d: LogUniform) -> Tensor:
    return torch.log1p((d.high - d.low) / d.low)


# Truncated normal: the squares' means from the mean and variance of p


@register_kl(TruncatedNormal, TruncatedNormal)
def _kl_truncated_normal(p: TruncatedNormal, q: TruncatedNormal) -> Tensor:
    mean, variance = p.mean, p.variance
    square_p, square_q = ((variance + (mean - d.loc).square()) / d.scale.square() for d in (p, q))
    divergence = q.scale.log() - p.scale.log() + q.log_mass() - p.log_mass() + (square_q - square_p) / 2
    p_low, q_low = (-math.inf if d.low is None else d.low for d in (p, q))
    p_high, q_high = (math.inf if d.high is None else d.high for d in (p, q))
    is_inside = torch.as_tensor(q_low <= p_low) & torch.as_tensor(p_high <= q_high)
    return torch.where(is_inside.to(divergence.device), divergence, math.inf)


# Directions


@register_kl(torchdist.VonMises, torchdist.VonMises)
def _kl_von_mises(p: torchdist.VonMises, q: torchdist.VonMises) -> Tensor:
    """The mean of exp(i x) under p has length A = I_1(k) / I_0(k) and direction loc."""
    k, c = p.concentration, q.concentration
    deficit = mean_length_deficit(k)  # k (1 - A)
    length = 1 - deficit / k
    norms = torch.special.i0e(c).log() - torch.special.i0e(k).log()
    return norms + deficit * (c / k - 1) + 2 * c * length * torch.sin((p.loc - q.loc) / 2).square()


@register_kl(VonMisesFisher, VonMisesFisher)
def _kl_von_mises_fisher(p: VonMisesFisher, q: VonMisesFisher) -> Tensor:
    length = p.mean_length
    apart = (p.mean_direction - q.mean_direction).square().sum(-1) / 2  # 1 - cosine
    k, c = p.concentration, q.concentration
    return q.log_normalizer() - p.log_normalizer() + (c - k) * (1 - length) + c * length * apart


# An affine map of both leaves the divergence as it is


@register_kl(AffineBeta, AffineBeta)
def _kl_affine_beta(p: AffineBeta, q: AffineBeta) -> Tensor:
    """That of the two Beta distributions; over other intervals it is infinite or has no closed form."""
    if not (bool((p.loc == q.loc).all()) and bool((p.scale == q.scale).all())):
        raise NotImplementedError("no closed form for AffineBeta distributions over different intervals")
    return torchdist.kl_divergence(*(torchdist.Beta(d.concentration1, d.concentration0) for d in (p, q)))
