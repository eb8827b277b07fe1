"""Closed divergences of our own: against quadrature, a sum, or an average over samples."""

from __future__ import annotations

import math

import pytest
import scipy.stats as st
import torch

import pyroxene.distributions as dist
from pyroxene.distributions import kl_closed  # noqa: F401
from pyroxene.distributions.families.directional import VonMisesFisher
from pyroxene.distributions.kl import kl_divergence

F64 = torch.float64


def a(cls, *args, **kwargs):
    """An instance of a class with float64 parameters."""
    return cls(*map(number, args), **{name: number(value) for name, value in kwargs.items()})


def number(value):
    return torch.tensor(value, dtype=F64)


def truncated(loc, scale, low=None, high=None):
    return a(dist.TruncatedNormal, loc, scale, **{k: v for k, v in {"low": low, "high": high}.items() if v is not None})


PAIRS = [
    (a(dist.Weibull, 2.0, 3.0), a(dist.Weibull, 1.5, 2.0)),
    (a(dist.Weibull, 0.5, 1.2), a(dist.Weibull, 3.0, 1.7)),
    (a(dist.InverseGaussian, 2.0, 3.0), a(dist.InverseGaussian, 1.5, 5.0)),
    (a(dist.Wald, 2.0, 3.0), a(dist.InverseGaussian, 0.7, 1.0)),
    (a(dist.LogUniform, 2.0, 3.0), a(dist.LogUniform, 1.5, 4.0)),
    (a(dist.LogUniform, 2.0, 3.0), a(dist.Uniform, -1.0, 4.0)),
    (a(dist.Uniform, 2.0, 3.0), a(dist.LogUniform, 1.5, 4.0)),
    (truncated(0.0, 1.0), truncated(0.5, 2.0)),
    (truncated(0.0, 1.0, -1.0, 2.0), truncated(0.5, 2.0, -1.5, 2.0)),
    (truncated(0.0, 1.0, 8.0), truncated(0.5, 2.0, 0.0)),
    (truncated(0.0, 1.0, high=-3.0), truncated(0.5, 2.0)),
    (a(dist.AffineBeta, 2.0, 3.0, -1.0, 4.0), a(dist.AffineBeta, 1.5, 2.5, -1.0, 4.0)),
    # closed by torch, through what our classes inherit
    (a(dist.InverseGamma, 2.0, 3.0), a(dist.InverseGamma, 1.5, 2.0)),
    (a(dist.HalfCauchy, 2.0), a(dist.HalfCauchy, 1.5)),
    (a(dist.HalfNormal, 2.0), a(dist.HalfNormal, 1.5)),
    (a(dist.LogNormal, 0.3, 2.0), a(dist.LogNormal, 0.0, 1.5)),
    (a(dist.BetaProportion, 0.3, 4.0), a(dist.BetaProportion, 0.4, 5.0)),
]


ANGLES = [
    (a(dist.VonMises, 0.3, 2.0), a(dist.VonMises, -2.0, 0.5)),
    (a(dist.VonMises, 0.3, 1e-3), a(dist.VonMises, 3.0, 40.0)),
    (a(dist.VonMises, 3.0, 250.0), a(dist.VonMises, -3.0, 40.0)),
]


def named(pair):
    return f"{type(pair[0]).__name__}-{type(pair[1]).__name__}"


@pytest.mark.parametrize("pair", PAIRS, ids=named)
def test_divergence_is_the_integral(pair):
    """With u = F(x), the integral of log p(x(u)) - log q(x(u)) over (0, 1); u from a double exponential rule."""
    p, q = pair
    t = torch.linspace(-3.6, 3.6, 301, dtype=F64)
    w = math.pi / 2 * torch.sinh(t)
    slope = math.pi / 2 * torch.cosh(t) * torch.exp(-torch.logaddexp(w, -w)) ** 2 * 2
    value = dist.tails.inverse(p, torch.nn.functional.logsigmoid(2 * w), torch.nn.functional.logsigmoid(-2 * w))
    integrand = p.log_prob(value) - q.log_prob(value)
    integrand = torch.where(integrand.isfinite(), integrand, 0.0)  # at an end that is not of the support
    expected = (integrand * slope).sum() * (t[1] - t[0])
    torch.testing.assert_close(kl_divergence(p, q), expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("pair", ANGLES, ids=named)
def test_divergence_of_angles_is_a_sum_around_the_circle(pair):
    p, q = pair
    value = torch.arange(1000, dtype=F64) * (2 * math.pi / 1000)
    log_p, log_q = (  # torch's own density has seven digits
        torch.as_tensor(st.vonmises(d.concentration.numpy(), d.loc.numpy()).logpdf(value.numpy())) for d in (p, q)
    )
    expected = (log_p.exp() * (log_p - log_q)).sum() * (2 * math.pi / 1000)
    torch.testing.assert_close(kl_divergence(p, q), expected, rtol=1e-10, atol=0)


def test_equals_do_not_diverge():
    for p, _ in PAIRS + ANGLES:
        torch.testing.assert_close(kl_divergence(p, p), torch.zeros_like(kl_divergence(p, p)), rtol=0, atol=1e-12)


def test_discrete_uniform_is_the_sum():
    p, q = a(dist.DiscreteUniform, 2.0, 4.0), a(dist.DiscreteUniform, 0.0, 9.0)
    values = p.enumerate_support()
    expected = (p.log_prob(values).exp() * (p.log_prob(values) - q.log_prob(values))).sum()
    torch.testing.assert_close(kl_divergence(p, q), expected)


@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_concentrated_angles_are_normal_variables(scale):
    """With much concentration an angle is normal of variance 1 / k; its divergence is free of cancellation."""
    p, q = a(dist.VonMises, 0.3, 1e10), a(dist.VonMises, 0.3 + 1e-5 / math.sqrt(scale), 2e10 / scale)
    normals = [dist.Normal(d.loc, d.concentration.rsqrt()) for d in (p, q)]
    torch.testing.assert_close(kl_divergence(p, q), kl_divergence(*normals), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("dim", [2, 3, 6])
def test_von_mises_fisher_is_an_average(dim):
    torch.manual_seed(20260101)
    mean = torch.nn.functional.normalize(torch.randn(2, dim, dtype=F64), dim=-1)
    p, q = VonMisesFisher(mean[0], number(3.0)), VonMisesFisher(mean[1], number(1.5))
    value = p.sample((100_000,))
    ratios = p.log_prob(value) - q.log_prob(value)
    error = ratios.std() / math.sqrt(len(ratios))
    assert abs(kl_divergence(p, q) - ratios.mean()) < 5 * error  # fails by chance once in two million
    torch.testing.assert_close(kl_divergence(p, p), number(0.0), rtol=0, atol=1e-12)


def test_on_the_circle_von_mises_fisher_is_von_mises():
    angles, k = number([0.3, -2.0]), number([2.0, 0.5])
    vectors = torch.stack([angles.cos(), angles.sin()], -1)
    p, q = (VonMisesFisher(v, c) for v, c in zip(vectors, k))
    expected = kl_divergence(*(dist.VonMises(angle, c) for angle, c in zip(angles, k)))
    torch.testing.assert_close(kl_divergence(p, q), expected, rtol=1e-10, atol=0)


INFINITE = [
    (a(dist.LogUniform, 1.0, 3.0), a(dist.LogUniform, 1.5, 4.0)),
    (a(dist.LogUniform, 1.0, 3.0), a(dist.Uniform, 0.0, 2.0)),
    (a(dist.Uniform, -1.0, 3.0), a(dist.LogUniform, 1.5, 4.0)),
    (a(dist.DiscreteUniform, 0.0, 3.0), a(dist.DiscreteUniform, 1.0, 4.0)),
    (truncated(0.0, 1.0, -1.0, 2.0), truncated(0.5, 2.0, -0.5, 2.0)),
    (truncated(0.0, 1.0), truncated(0.5, 2.0, -0.5)),
]


@pytest.mark.parametrize("pair", INFINITE, ids=named)
def test_mass_where_the_other_has_none_is_infinite(pair):
    assert kl_divergence(*pair) == math.inf


def test_gradients():
    def divergence(x, y, z, w):
        pairs = [
            (dist.Weibull(x, y), dist.Weibull(z, w)),
            (dist.InverseGaussian(x, y), dist.InverseGaussian(z, w)),
            (dist.VonMises(x, y), dist.VonMises(z, w)),
            (dist.TruncatedNormal(x, y, low=0.0), dist.TruncatedNormal(z, w, low=-1.0)),
        ]
        return torch.stack([kl_divergence(*pair) for pair in pairs])

    assert torch.autograd.gradcheck(divergence, tuple(number(v).requires_grad_() for v in (0.7, 1.3, 2.0, 0.6)))


def test_batches_broadcast_and_wrappers_pass_on():
    p = dist.Weibull(torch.rand(3, 2, dtype=F64) + 0.5, number(1.5))
    q = dist.Weibull(number(1.0), torch.rand(2, dtype=F64) + 0.5)
    divergence = kl_divergence(p, q)
    assert divergence.shape == (3, 2)
    torch.testing.assert_close(kl_divergence(p.to_event(1), q.expand((3, 2)).to_event(1)), divergence.sum(-1))
    mask = torch.tensor([True, False])
    torch.testing.assert_close(kl_divergence(p.mask(mask), q.mask(mask)), torch.where(mask, divergence, 0.0))


def test_over_other_intervals_there_is_none():
    with pytest.raises(NotImplementedError, match="different intervals"):
        kl_divergence(a(dist.AffineBeta, 2.0, 3.0, 0.0, 1.0), a(dist.AffineBeta, 2.0, 3.0, 0.0, 2.0))
