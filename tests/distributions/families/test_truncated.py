"""Truncation: far tails against mpmath, samples, gradients, any base, mistakes."""

from __future__ import annotations

import mpmath as mp
import numpy as np
import pytest
import scipy.stats
import torch

import pyroxene.distributions as dist
from pyroxene.distributions import tails
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
from pyroxene.errors import ParameterError, SupportError

F64 = torch.float64
BOUNDS = [
    (10.0, None),
    (300.0, None),
    (30.0, 31.0),
    (-1.0, 2.0),
    (None, -20.0),
    (-50.0, -49.0),
    (-3.0, 100.0),
    (0.5, 0.6),
    (-40.0, -1.0),
    (-1.0, None),
]


def number(value):
    return torch.tensor(value, dtype=F64)


def normal(low=None, high=None, loc=0.0, scale=1.0):
    return TruncatedNormal(number(loc), number(scale), low=low, high=high)


def mass(low, high):
    """Probability of [low, high] under the standard normal, from the tail that it lies in."""
    if low is None:
        return mp.erfc(-mp.mpf(high) / mp.sqrt(2)) / 2
    if high is None:
        return mp.erfc(mp.mpf(low) / mp.sqrt(2)) / 2
    return mass(None, -low) - mass(None, -high) if low > 0 else mass(None, high) - mass(None, low)


@pytest.mark.parametrize(("low", "high"), BOUNDS)
def test_normal_far_in_the_tails(low, high):
    d = normal(low, high)
    value = d.icdf(number([0.01, 0.37, 0.9]))
    with mp.workdps(60):
        whole = mass(low, high)
        for x, p, log_prob in zip(value.tolist(), (0.01, 0.37, 0.9), d.log_prob(value)):
            exact = mp.log(mp.npdf(mp.mpf(x))) - mp.log(whole)
            assert abs(float(log_prob) - exact) <= 1e-11 * max(abs(exact), 1)
            share = mass(low, x) / whole if low is not None else mass(None, x) / whole
            assert abs(share - p) < 1e-11 + 2e-16 * x**2  # the precision of x times the hazard, which is about x
        below, above = (mp.npdf(end) if end is not None else 0 for end in (low, high))
        mean = (below - above) / whole
        weighted = (low * below if low is not None else 0) - (high * above if high is not None else 0)
        variance = 1 + weighted / whole - mean**2
    assert abs(float(d.mean) - mean) <= 1e-12 * abs(mean)
    assert abs(float(d.variance) - variance) <= 1e-12 * variance
    atol = 1e-12 + 2e-16 * float(value.abs().max()) ** 2
    torch.testing.assert_close(tails.log_cdf(d, value).exp(), number([0.01, 0.37, 0.9]), rtol=1e-10, atol=atol)
    torch.testing.assert_close(tails.log_survival(d, value).exp(), number([0.99, 0.63, 0.1]), rtol=1e-10, atol=atol)


@pytest.mark.parametrize(("low", "high"), BOUNDS)
def test_normal_samples(low, high):
    torch.manual_seed(0)
    d = normal(low, high)
    sample = d.sample((2000,))
    assert d.support.check(sample).all()
    assert scipy.stats.kstest(d.cdf(sample).numpy(), "uniform").pvalue > 1e-7


def test_normal_with_location_scale_and_batch_is_scipys():
    loc, scale, low = number([0.0, 1.0]), number([1.0, 2.0]), number([[-1.0], [0.5]])
    d = TruncatedNormal(loc, scale, low=low, high=3.0)
    assert d.batch_shape == (2, 2) and d.loc.shape == (2, 2)
    frozen = scipy.stats.truncnorm((low - loc) / scale, (3.0 - loc) / scale, loc, scale)
    value = torch.full((2, 2), 0.7, dtype=F64)
    torch.testing.assert_close(d.log_prob(value), torch.as_tensor(frozen.logpdf(value)))
    torch.testing.assert_close(d.mean, torch.as_tensor(frozen.mean()))
    torch.testing.assert_close(d.variance, torch.as_tensor(frozen.var()))
    torch.testing.assert_close(d.entropy(), torch.as_tensor(frozen.entropy()))
    assert torch.equal(d.mode, number([[0.0, 1.0], [0.5, 1.0]]))


def test_without_bounds_it_is_the_normal():
    d, plain = normal(loc=0.5, scale=2.0), dist.Normal(number(0.5), number(2.0))
    value = number([-3.0, 1.0])
    torch.testing.assert_close(d.log_prob(value), plain.log_prob(value))
    torch.testing.assert_close(d.cdf(value), plain.cdf(value))
    torch.testing.assert_close(d.variance, plain.variance)
    assert normal(-np.inf, np.inf).low is None


@pytest.mark.parametrize("bounds", [(8.0, 9.0), (-1.0, 2.0), (-30.0, -20.0)])
def test_gradients(bounds):
    def functions(loc, scale, low, high):
        torch.manual_seed(3)
        d = TruncatedNormal(loc, scale, low=low, high=high)
        value = d.rsample((5,))
        middle = (low + high) / 2
        return value, d.log_prob(middle), tails.log_survival(d, middle), d.mean, d.variance

    leaves = [number(v).requires_grad_() for v in (0.2, 1.3, *bounds)]
    assert torch.autograd.gradcheck(functions, leaves, rtol=1e-4, atol=1e-6)


def test_gradients_of_samples_of_a_gamma():
    def draw(concentration, rate, low):
        torch.manual_seed(3)
        return TruncatedGamma(concentration, rate, low=low).rsample((5,))

    assert torch.autograd.gradcheck(draw, [number(v).requires_grad_() for v in (2.0, 1.5, 3.0)], atol=1e-6)


CONTINUOUS = [
    (dist.Gamma(number(2.5), number(1.0)), 50.0, None),
    (dist.Gamma(number(2.5), number(1.0)), 1000.0, 1001.0),
    (dist.Gamma(number(2.5), number(1.0)), None, 1e-3),
    (dist.StudentT(number(3.0), number(0.0), number(1.0)), -1e6, -1e5),
    (dist.Beta(number(2.0), number(3.0)), 0.9, 0.95),
    (dist.LogNormal(number(0.0), number(1.0)), 5.0, None),
    (dist.Weibull(number(1.0), number(2.0)), 0.5, 3.0),
    (dist.Gumbel(number(0.0), number(1.0)), -1.0, 2.0),
    (dist.Exponential(number(1.0)), 100.0, 101.0),
    (dist.Cauchy(number(0.0), number(1.0)), 1e8, 2e8),
    (dist.Laplace(number(0.0), number(1.0)), 1.0, 4.0),
    (dist.Uniform(number(0.0), number(2.0)), 0.5, 1.0),
    (dist.HalfNormal(number(1.0)), -1.0, 20.0),
]


@pytest.mark.parametrize(("base", "low", "high"), CONTINUOUS, ids=[type(base).__name__ for base, *_ in CONTINUOUS])
def test_any_continuous_base(base, low, high):
    torch.manual_seed(0)
    d = TruncatedDistribution(base, low, high)
    p = torch.linspace(0.01, 0.99, 9, dtype=F64)
    value = d.icdf(p)
    nodes, weights = map(torch.as_tensor, np.polynomial.legendre.leggauss(60))
    width = (value[1:] - value[:-1])[:, None]
    at = value[:-1, None] + width / 2 * (1 + nodes)
    integral = (d.log_prob(at).exp() * weights * width / 2).sum(-1)
    torch.testing.assert_close(integral, p[1:] - p[:-1], rtol=1e-9, atol=0)
    sample = d.sample((1000,))
    assert d.support.check(sample).all()
    assert scipy.stats.kstest(d.cdf(sample).numpy(), "uniform").pvalue > 1e-7


DISCRETE = [
    (dist.Poisson(number(3.0)), 1.0, None),
    (dist.Poisson(number(3.0)), 2.0, 6.0),
    (dist.Poisson(number(3.0)), 1.5, 6.5),
    (dist.Poisson(number(3.0)), 40.0, None),
    (dist.Binomial(20, number(0.3)), None, 3.0),
    (dist.Geometric(number(0.3)), 3.0, None),
]


@pytest.mark.parametrize(("base", "low", "high"), DISCRETE)
def test_any_discrete_base(base, low, high):
    torch.manual_seed(0)
    d = TruncatedDistribution(base, low, high)
    top = 20.0 if isinstance(base, dist.Binomial) else 200.0
    values = torch.arange(0, top + 1, dtype=F64)
    probabilities = tails.unchecked(d).log_prob(values).exp()
    torch.testing.assert_close(probabilities.sum(), number(1.0), rtol=1e-12, atol=0)
    torch.testing.assert_close(probabilities.cumsum(0), d.cdf(values), rtol=1e-10, atol=1e-12)
    frequency = (d.sample((4000,))[:, None] == values).double().mean(0)
    # 5.5 standard errors of a frequency; a value of probability p < 1e-9 is not seen
    assert ((frequency - probabilities).abs() <= 5.5 * (probabilities / 4000).sqrt() + 1e-3).all()
    assert not d.has_rsample


def test_moments_of_cauchy_and_gamma():
    nodes, weights = map(torch.as_tensor, np.polynomial.legendre.leggauss(80))
    for d in (
        TruncatedCauchy(number(0.5), number(2.0), low=-1.0, high=3.0),
        TruncatedGamma(number(2.5), number(2.0), low=1.0, high=3.0),
    ):
        middle, half = (d.low + d.high) / 2, (d.high - d.low) / 2
        value = middle + half * nodes
        density = d.log_prob(value).exp() * weights * half
        torch.testing.assert_close(density.sum(), number(1.0))
        torch.testing.assert_close((density * value).sum(), d.mean)
        torch.testing.assert_close((density * (value - d.mean).square()).sum(), d.variance)
    assert TruncatedCauchy(0.0, 1.0, low=1.0).mean.isnan()


def test_names():
    assert Truncated is TruncatedDistribution
    base = dist.Gamma(number(2.0), number(1.0))
    value = number(2.5)
    for d, low, high in [
        (LeftTruncatedDistribution(base, 2.0), 2.0, None),
        (LeftTruncatedGamma(base, 2.0), 2.0, None),
        (RightTruncatedDistribution(base, 3.0), None, 3.0),
        (RightTruncatedGamma(base, 3.0), None, 3.0),
        (TwoSidedTruncatedDistribution(base, 2.0, 3.0), 2.0, 3.0),
        (TwoSidedTruncatedGamma(base, 2.0, 3.0), 2.0, 3.0),
    ]:
        expected = TruncatedDistribution(base, low, high)
        torch.testing.assert_close(d.log_prob(value), expected.log_prob(value))
        assert type(d.expand((3,))) is type(d)


def test_gradients_are_finite_at_the_ends_of_the_supports():
    rate = number(1.0).requires_grad_()
    d = TruncatedDistribution(dist.Exponential(rate), 0.0, 5.0)  # nothing is cut off below
    assert torch.autograd.grad(d.log_prob(number([0.0, 5.0])).sum(), rate)[0].isfinite()
    loc = number(0.0).requires_grad_()
    (gradient,) = torch.autograd.grad(TruncatedNormal(loc, 1.0, low=-1e200, high=1e200).log_prob(number(0.5)), loc)
    torch.testing.assert_close(gradient, number(0.5))


def test_mistakes():
    with pytest.raises(ParameterError, match="leave nothing between"):
        TruncatedNormal(0.0, 1.0, low=1.0, high=0.5)
    with pytest.raises(ParameterError, match="one number"):
        TruncatedDistribution(dist.Normal(torch.zeros(2), 1.0).to_event(1), 0.0)
    with pytest.raises(SupportError):
        TruncatedNormal(0.0, 1.0, low=1.0).log_prob(torch.tensor(0.5))
    assert TruncatedNormal(0.0, 1.0, low=1.0, validate_args=False).log_prob(torch.tensor(0.5)) == -torch.inf
