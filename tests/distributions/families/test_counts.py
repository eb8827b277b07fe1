"""Distributions of one integer: probabilities against mpmath far into the tails, functions against sums."""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Callable

import mpmath as mp
import numpy as np
import pytest
import scipy.stats
import torch

from pyroxene.distributions.families.conjugate import BetaBinomial, GammaPoisson
from pyroxene.distributions.families.discrete_uniform import DiscreteUniform
from pyroxene.distributions.families.discrete_weibull import DiscreteWeibull
from pyroxene.distributions.families.extended import ExtendedBetaBinomial, ExtendedBinomial
from pyroxene.distributions.families.hypergeometric import HyperGeometric
from pyroxene.distributions.families.log_normal_negative_binomial import LogNormalNegativeBinomial
from pyroxene.distributions.families.negative_binomial import (
    BetaNegativeBinomial,
    NegativeBinomial2,
    NegativeBinomialLogits,
    NegativeBinomialProbs,
)
from pyroxene.distributions.families.skellam import Skellam
from pyroxene.distributions.families.zipf import Zipf
from pyroxene.errors import SupportError

DIGITS = 60


def lg(x):
    return mp.loggamma(x)


def log_choose(n, k):
    return lg(n + 1) - lg(k + 1) - lg(n - k + 1)


def log_b(a, b):
    return lg(a) + lg(b) - lg(a + b)


def binomial(k, n, p):
    return log_choose(n, k) + k * mp.log(p) + (n - k) * mp.log(1 - p)


def beta_binomial(k, a, b, n):
    return log_choose(n, k) + log_b(k + a, n - k + b) - log_b(a, b)


def negative_binomial(k, r, odds):
    return lg(r + k) - lg(k + 1) - lg(r) - r * mp.log1p(odds) - k * mp.log1p(1 / odds)


def beta_negative_binomial(k, a, b, n):
    return lg(n + k) - lg(k + 1) - lg(n) + log_b(a + k, b + n) - log_b(a, b)


def weibull(k, q, beta):
    return mp.log(q ** (k**beta) - q ** ((k + 1) ** beta))


def hypergeometric(x, N, k, n):
    return log_choose(k, x) + log_choose(N - k, n - x) - log_choose(N, n)


def skellam(k, a, b):
    return -a - b + k / 2 * mp.log(a / b) + mp.log(mp.besseli(abs(k), 2 * mp.sqrt(a * b), maxterms=10**6))


def log_normal_mixture(k, r, logits, scale):
    points, weights = np.polynomial.hermite_e.hermegauss(8)
    terms = [
        mp.mpf(float(w)) * mp.exp(negative_binomial(k, r, mp.exp(logits + scale * mp.mpf(float(x)))))
        for x, w in zip(points, weights)
    ]
    return mp.log(mp.fsum(terms) / mp.sqrt(2 * mp.pi))


@dataclasses.dataclass
class Row:
    cls: type
    exact: Callable  # (value, *parameters) -> log probability
    values: tuple[float, ...]
    ordinary: tuple[float, ...]  # parameters at which sums over `reach` are cheap
    extreme: tuple[tuple[float, ...], ...]
    reach: tuple[int, int]
    fixed: int = 0  # how many of the last parameters are integers, without gradients

    def make(self, parameters=None, dtype=torch.float64, **options):
        return self.cls(*(torch.tensor(p, dtype=dtype) for p in parameters or self.ordinary), **options)


ROWS = [
    Row(
        BetaBinomial,
        beta_binomial,
        (0, 1, 3, 7),
        (2.0, 3.5, 7.0),
        ((1e-6, 0.5, 7.0), (1e9, 1e12, 10.0), (3e5, 2e4, 1e7), (0.01, 1e-3, 7.0)),
        (0, 7),
        fixed=1,
    ),
    Row(ExtendedBetaBinomial, beta_binomial, (0, 1, 7), (0.4, 3.5, 7.0), ((1e9, 1e12, 10.0),), (0, 7), fixed=1),
    Row(
        ExtendedBinomial,
        lambda k, n, p: binomial(k, n, p),
        (0, 1, 7),
        (7.0, 0.3),
        ((10.0, 1e-9), (1e4, 0.25)),
        (0, 7),
    ),
    Row(
        GammaPoisson,
        lambda k, a, b: negative_binomial(k, a, 1 / b),
        (0, 1, 30, 1e6),
        (2.5, 0.7),
        ((1e-5, 3.0), (1e9, 1e8), (0.5, 1e-6), (1e4, 1e6)),
        (0, 400),
    ),
    Row(
        NegativeBinomialProbs,
        lambda k, r, p: negative_binomial(k, r, p / (1 - p)),
        (0, 1, 30, 1e6),
        (2.5, 0.6),
        ((1e-5, 0.5), (1e9, 0.01)),
        (0, 400),
    ),
    Row(
        NegativeBinomialLogits,
        lambda k, r, logits: negative_binomial(k, r, mp.exp(logits)),
        (0, 1, 30, 1e6),
        (2.5, 0.4),
        ((1e-5, 0.5), (1e9, -5.0), (3.0, -200.0), (3.0, 80.0)),
        (0, 400),
    ),
    Row(
        NegativeBinomial2,
        lambda k, m, c: negative_binomial(k, c, m / c),
        (0, 1, 30, 1e6),
        (4.0, 1.5),
        ((1e6, 1e10), (1e-6, 1.0), (1e7, 1e-3)),
        (0, 400),
    ),
    Row(
        BetaNegativeBinomial,
        beta_negative_binomial,
        (0, 1, 30, 1e7),
        (2.0, 21.0, 6.5),
        ((1e-3, 1e-3, 1.0), (1e8, 1e7, 100.0), (0.5, 3.0, 1e7)),
        (0, 1000),
    ),
    Row(
        LogNormalNegativeBinomial,
        log_normal_mixture,
        (0, 1, 30, 1000),
        (2.5, -0.3, 0.4),
        ((1e6, -10.0, 0.1), (0.1, 2.0, 1.5)),
        (0, 400),
    ),
    Row(
        DiscreteWeibull,
        weibull,
        (0, 1, 10, 1000),
        (0.9, 1.3),
        ((0.5, 0.05), (0.999, 0.7), (1 - 2.0**-20, 1.5)),
        (0, 200),
    ),
    Row(
        HyperGeometric,
        hypergeometric,
        (0, 2, 4),
        (11.0, 4.0, 6.0),
        ((1e7, 4e6, 50.0), (20.0, 15.0, 5.0)),
        (0, 4),
        fixed=3,
    ),
    Row(
        Skellam,
        skellam,
        (-40, -3, 0, 1, 33, 300),
        (2.0, 3.5),
        ((1e-6, 2e-3), (300.0, 1.0), (5000.0, 4900.0), (1e-9, 40.0)),
        (-60, 60),
    ),
    Row(
        Zipf,
        lambda k, s: -s * mp.log(k) - mp.log(mp.zeta(s)),
        (1, 2, 1000, 1e12),
        (9.0,),
        ((1.0001,), (1.5,), (30.0,)),
        (1, 3000),
    ),
    Row(
        DiscreteUniform,
        lambda k, low, high: -mp.log(high - low + 1),
        (0, 1, 3),
        (-2.0, 5.0),
        ((0.0, 1e9), (-7.0, 3.0)),
        (-2, 5),
        fixed=2,
    ),
]
EVERY = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.cls.__name__)


def exact(row, value, parameters):
    with mp.workdps(DIGITS):
        return float(row.exact(mp.mpf(value), *(mp.mpf(p) for p in parameters)))


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(20260105)


@EVERY
@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-10), (torch.float32, 2e-5)], ids=["64", "32"])
def test_log_probabilities_are_exact(row, dtype, tolerance):
    for parameters in (row.ordinary, *row.extreme):
        rounded = [torch.tensor(p, dtype=dtype).item() for p in parameters]
        d = row.make(parameters, dtype)
        values = torch.tensor([v for v in row.values if d.support.check(torch.tensor(v, dtype=dtype))], dtype=dtype)
        expected = torch.tensor([exact(row, v, rounded) for v in values.tolist()], dtype=torch.float64)
        got = d.log_prob(values)
        assert got.dtype == dtype
        # a probability near 1 has a log near 0, known to the precision of the probability
        torch.testing.assert_close(got.double(), expected, rtol=tolerance, atol=tolerance / 10)


@EVERY
def test_probabilities_sum_to_one_and_moments_and_entropy_are_those_of_the_sum(row):
    d = row.make()
    k = torch.arange(row.reach[0], row.reach[1] + 1.0, dtype=torch.float64)
    probs = d.log_prob(k).exp()
    torch.testing.assert_close(probs.sum().item(), 1.0, rtol=1e-9, atol=0)
    mean = (probs * k).sum()
    moment_tolerance = 1e-5 if row.cls is LogNormalNegativeBinomial else 1e-8  # the moments are those of the integral
    torch.testing.assert_close(d.mean, mean, rtol=moment_tolerance, atol=1e-9)
    torch.testing.assert_close(d.variance, (probs * (k - mean) ** 2).sum(), rtol=10 * moment_tolerance, atol=1e-9)
    try:
        entropy = d.entropy()
    except NotImplementedError:
        return
    torch.testing.assert_close(entropy, -(probs * probs.log())[probs > 0].sum(), rtol=1e-7, atol=1e-9)


@EVERY
def test_modes_are_of_greatest_probability(row):
    for parameters in (row.ordinary, *row.extreme):
        d = row.make(parameters)
        try:
            mode = d.mode
        except (NotImplementedError, AttributeError):
            return
        near = torch.stack([mode - 1, mode + 1])
        near = near[d.support.check(near)]
        assert (d.log_prob(near) <= d.log_prob(mode) + 1e-9 * d.log_prob(mode).abs()).all(), parameters


WITH_CDF = [row for row in ROWS if hasattr(row.cls, "log_cdf") and not row.cls.__name__.startswith("Extended")]


@pytest.mark.parametrize("row", WITH_CDF, ids=lambda row: row.cls.__name__)
def test_distribution_functions_are_the_sums_and_quantiles_their_inverse(row):
    d = row.make()
    k = torch.arange(row.reach[0], min(row.reach[1], 60) + 1.0, dtype=torch.float64)
    log_prob = d.log_prob(k)
    below = log_prob.logcumsumexp(0)
    settled = k > row.reach[0] + 25 if row.cls is Skellam else k == k  # there the sum lacks what is below
    torch.testing.assert_close(d.log_cdf(k)[settled], below[settled], rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(d.log_cdf(k + 0.5), d.log_cdf(k))
    torch.testing.assert_close(d.cdf(k) + d.log_survival(k).exp(), torch.ones_like(k), rtol=0, atol=1e-11)
    far = d.log_survival(k[:-1])
    steps = torch.logaddexp(d.log_survival(k[1:]), log_prob[1:])  # P(X > k) = P(X > k + 1) + P(X = k + 1)
    torch.testing.assert_close(far, steps, rtol=1e-9, atol=1e-10)
    middle = k[(below < -1e-6) & (below > -20)]
    inside = (d.cdf(middle) + d.cdf(middle - 1)) / 2  # strictly within the step
    assert torch.equal(d.icdf(inside), middle)
    outside = torch.tensor([row.reach[0] - 0.5, -1e9], dtype=torch.float64)
    if row.cls is not Skellam:
        assert torch.equal(d.cdf(outside), torch.zeros(2, dtype=torch.float64))
        assert torch.equal(d.log_survival(outside), torch.zeros(2, dtype=torch.float64))


@EVERY
def test_samples_follow_the_probabilities(row):
    """A chi-squared test at a failure rate of 1e-6, over values of which at least 20 are expected."""
    d = row.make()
    count = 20000
    samples = d.sample((count,))
    k = torch.arange(row.reach[0], row.reach[1] + 1.0, dtype=torch.float64)
    probs = d.log_prob(k).exp()
    common = probs * count > 20
    observed = (samples == k[common, None]).sum(1).double()
    observed = torch.cat([observed, count - observed.sum(0, keepdim=True)])
    expected = torch.cat([probs[common], (1 - probs[common].sum()).clamp(min=0).reshape(1)]) * count
    if row.cls is LogNormalNegativeBinomial:
        expected = None  # samples are of the integral: compared by their moments below
        assert abs(samples.mean() - d.mean) < 5 * (d.variance / count).sqrt()
        return
    keep = expected > 5
    statistic = ((observed - expected) ** 2 / expected)[keep].sum().item()
    assert scipy.stats.chi2.sf(statistic, int(keep.sum()) - 1 or 1) > 1e-6
    assert observed[-1] <= expected[-1] + 10 * math.sqrt(expected[-1] + 1)


@EVERY
def test_gradients_are_those_of_finite_differences(row):
    free = len(row.ordinary) - row.fixed
    if free == 0:
        return
    is_count = [row.cls is ExtendedBinomial and i == 0 for i in range(free)]
    parameters = [torch.tensor(p, dtype=torch.float64) for p in row.ordinary]
    leaves = [p.requires_grad_() for p, count in zip(parameters[:free], is_count) if not count]
    values = torch.tensor([v for v in row.values if v < 1e5], dtype=torch.float64)

    def log_prob(*leaves):
        found = iter(leaves)
        filled = [p if i >= free or is_count[i] else next(found) for i, p in enumerate(parameters)]
        return row.cls(*filled, validate_args=False).log_prob(values)

    assert torch.autograd.gradcheck(log_prob, leaves, eps=1e-6, atol=1e-6, rtol=1e-5)


@EVERY
def test_numbers_integers_and_batches_are_taken(row):
    d = row.cls(*row.ordinary)
    assert d.batch_shape == () and d.sample().dtype == torch.float32
    wide = row.make()
    integers = torch.tensor([v for v in row.values if v < 1e6]).long()
    assert torch.equal(wide.log_prob(integers), wide.log_prob(integers.double()))
    expanded = wide.expand((3, 2))
    assert type(expanded) is row.cls and expanded.sample((4,)).shape == (4, 3, 2)
    shapes = [(3, 1)] + [(2,)] * (len(row.ordinary) - 1)
    names = list(inspect.signature(row.cls).parameters)[: len(shapes)]
    expected = (3, 2) if len(shapes) > 1 else (3, 1)
    assert row.cls.infer_shapes(**dict(zip(names, shapes))) == (torch.Size(expected), torch.Size())


@EVERY
def test_impossible_values_have_no_probability_and_are_refused_where_checked(row):
    d = row.make(validate_args=True)
    for value in (-1e6, 0.5):
        if d.support.check(torch.tensor(value)):
            continue
        with pytest.raises(SupportError, match=row.cls.__name__):
            d.log_prob(torch.tensor(value))
    if row.cls is not Skellam:
        loose = row.make(validate_args=False)
        assert loose.log_prob(torch.tensor(-1e6, dtype=torch.float64)) == -math.inf
