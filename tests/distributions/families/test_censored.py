"""Censoring: each observation counts the probability of what is known of it."""

from __future__ import annotations

import pytest
import scipy.stats
import torch

import pyroxene.distributions as dist
from pyroxene.distributions import tails
from pyroxene.distributions.families.censored import (
    Censored,
    IntervalCensoredDistribution,
    LeftCensoredDistribution,
    RightCensoredDistribution,
)
from pyroxene.errors import ParameterError, SupportError

F64 = torch.float64
BASES = [
    (dist.Normal(torch.tensor(0.3, dtype=F64), torch.tensor(1.2, dtype=F64)), scipy.stats.norm(0.3, 1.2)),
    (dist.Poisson(torch.tensor(2.3, dtype=F64)), scipy.stats.poisson(2.3)),
    (dist.Weibull(torch.tensor(2.0, dtype=F64), torch.tensor(1.5, dtype=F64)), scipy.stats.weibull_min(1.5, scale=2.0)),
]
ALL = pytest.mark.parametrize(("base", "scipys"), BASES, ids=[type(base).__name__ for base, _ in BASES])


def number(value):
    return torch.tensor(value, dtype=F64)


def log_density(scipys, value):
    return torch.as_tensor(scipys.logpmf(value) if hasattr(scipys.dist, "pmf") else scipys.logpdf(value))


@ALL
def test_one_sided(base, scipys):
    value, flags = number([1.0, 3.0]), torch.tensor([[False, False], [True, True]])
    for cls, tail in ((LeftCensoredDistribution, scipys.logcdf), (RightCensoredDistribution, scipys.logsf)):
        d = cls(base, flags)
        assert d.batch_shape == (2, 2)
        expected = torch.stack([log_density(scipys, value), torch.as_tensor(tail(value))])
        torch.testing.assert_close(d.log_prob(value), expected, rtol=1e-10, atol=0)
        torch.testing.assert_close(cls(base, flags.double()).log_prob(value), expected, rtol=1e-10, atol=0)
    assert torch.equal(LeftCensoredDistribution(base).log_prob(value), base.log_prob(value))


@ALL
def test_intervals(base, scipys):
    value = number([1.0, 3.0])
    left, right = torch.tensor([False, True, False, True]), torch.tensor([False, False, True, True])
    d = IntervalCensoredDistribution(base, left, right)
    assert d.event_shape == (2,) and d.batch_shape == (4,)
    low, high = scipys.cdf(1.0), scipys.cdf(3.0)
    torch.testing.assert_close(d.log_prob(value).exp(), number([high - low, high, 1 - low, 1 - high + low]))
    exact = IntervalCensoredDistribution(base, False, False)
    torch.testing.assert_close(exact.log_prob(number([2.0, 2.0])), log_density(scipys, 2.0))
    sample = exact.sample((5,))
    assert sample.shape == (5, 2) and torch.equal(sample[:, 0], sample[:, 1])


def test_intervals_far_in_a_tail():
    d = IntervalCensoredDistribution(dist.Normal(number(0.0), number(1.0)), False, False)
    expected = scipy.stats.norm.logsf(30.0) + torch.log1p(
        -number(scipy.stats.norm.logsf(31) - scipy.stats.norm.logsf(30)).exp()
    )
    torch.testing.assert_close(d.log_prob(number([30.0, 31.0])), expected, rtol=1e-12, atol=0)
    torch.testing.assert_close(d.log_prob(number([-31.0, -30.0])), expected, rtol=1e-12, atol=0)


@ALL
def test_bounds_of_an_instrument(base, scipys):
    d = Censored(base, lower=1.0, upper=4.0)
    values = number([1.0, 2.0, 4.0])
    above = scipys.logsf(3.0) if base.support.is_discrete else scipys.logsf(4.0)
    expected = number([float(scipys.logcdf(1.0)), float(log_density(scipys, 2.0)), float(above)])
    torch.testing.assert_close(d.log_prob(values), expected, rtol=1e-10, atol=0)
    torch.manual_seed(0)
    sample = d.sample((4000,))
    assert sample.min() == 1 and sample.max() == 4 and d.support.check(sample).all()
    for value in (1.0, 4.0):
        probability = d.log_prob(number(value)).exp()
        error = ((sample == value).double().mean() - probability).abs()
        assert error < 5.5 * (probability / 4000).sqrt()  # a rate of 1e-7 at the most
    torch.testing.assert_close(d.cdf(number([0.0, 2.0, 4.0])), number([0.0, float(scipys.cdf(2.0)), 1.0]))
    torch.testing.assert_close(tails.log_survival(d, number(2.0)), number(float(scipys.logsf(2.0))))
    torch.testing.assert_close(d.icdf(number([1e-9, 1 - 1e-9])), number([1.0, 4.0]))
    assert torch.equal(tails.unchecked(d).log_prob(number([0.0, 5.0])), number([-torch.inf, -torch.inf]))


def test_the_probabilities_of_integers_sum_to_one():
    for bounds in [(1.0, 5.0), (None, 5.0), (1.0, None)]:
        d = Censored(BASES[1][0], *bounds)
        total = tails.unchecked(d).log_prob(torch.arange(0, 60.0, dtype=F64)).exp().sum()
        torch.testing.assert_close(total, number(1.0))


def test_gradients_with_bounds_beyond_the_support():
    scale = number(1.3).requires_grad_()
    d = Censored(dist.Weibull(scale, number(1.5)), lower=-1.0, upper=100.0)
    assert torch.autograd.grad(d.log_prob(number([2.0, 100.0])).sum(), scale)[0].isfinite()

    def interval(rate, concentration):
        flags = torch.tensor([[False, False], [True, False], [False, True], [True, True]])
        d = IntervalCensoredDistribution(dist.Gamma(concentration, rate), flags[:, 0], flags[:, 1])
        return d.log_prob(number([[1.0, 2.0], [0.0, 1.0], [1.0, 1.0], [0.5, 2.0]])), d.expand((2, 4)).log_prob(
            number([1.5, 1.5])
        )

    assert torch.autograd.gradcheck(interval, [number(1.1).requires_grad_(), number(2.3).requires_grad_()], atol=1e-6)


def test_mistakes():
    with pytest.raises(ParameterError, match="leave nothing between"):
        Censored(BASES[0][0], 1.0, 0.0)
    with pytest.raises(ParameterError, match="one number"):
        RightCensoredDistribution(dist.Normal(torch.zeros(2), 1.0).to_event(1))
    with pytest.raises(SupportError):
        RightCensoredDistribution(dist.Exponential(1.0)).log_prob(torch.tensor(-1.0))
    with pytest.raises(SupportError):
        Censored(BASES[0][0], 0.0, 1.0).log_prob(number(1.5))
