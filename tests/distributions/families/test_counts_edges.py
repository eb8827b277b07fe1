"""Distributions of one integer beyond their table: far tails, errors, lists of values, approximations."""

from __future__ import annotations

import inspect
import math

import mpmath as mp
import pytest
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
    NegativeBinomialProbs,
)
from pyroxene.distributions.families.skellam import Skellam
from pyroxene.distributions.families.zipf import Zipf
from pyroxene.errors import ParameterError, UnsupportedError


def lg(x):
    return mp.loggamma(x)


def log_choose(n, k):
    return lg(n + 1) - lg(k + 1) - lg(n - k + 1)


def log_b(a, b):
    return lg(a) + lg(b) - lg(a + b)


def beta_binomial(k, a, b, n):
    return log_choose(n, k) + log_b(k + a, n - k + b) - log_b(a, b)


def negative_binomial(k, r, odds):
    return lg(r + k) - lg(k + 1) - lg(r) - r * mp.log1p(odds) - k * mp.log1p(1 / odds)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(20260107)


@pytest.mark.parametrize(
    "d, value",
    [
        (GammaPoisson(2.0, 3.0), 1000.0),
        (NegativeBinomial2(2.0, 3.0), 20000.0),
        (BetaNegativeBinomial(2.0, 3.0, 1.5), 1e9),
        (Skellam(2.0, 3.0), 500.0),
        (Zipf(2.5), 1e15),
        (DiscreteWeibull(0.5, 1.0), 1e5),
        (BetaBinomial(2.0, 3.0, 10000), 9999.0),
        (HyperGeometric(1000.0, 100.0, 100.0), 99.0),
    ],
    ids=lambda x: type(x).__name__,
)
def test_the_upper_tail_stays_finite(d, value):
    """The probability of more than k is little greater than that of k + 1, the first of its terms."""
    value = torch.tensor(value, dtype=torch.float64)
    d = type(d)(*(getattr(d, name).double() for name in list(inspect.signature(type(d)).parameters)[: len(d._tensors)]))
    tail, first = d.log_survival(value), d.log_prob(value + 1)
    assert tail.isfinite() and first - 1e-9 * first.abs() <= tail < first + 40
    if not isinstance(d, FINITE):
        torch.testing.assert_close(d.log_cdf(value).item(), 0.0)


FINITE = (BetaBinomial, HyperGeometric)


def test_heavy_tails_are_those_of_the_urn():
    """More than k successes before failure n: fewer than n failures in n + k draws from a Beta distribution's urn."""
    for a, b, n in [(0.5, 0.3, 2.0), (3.0, 2.5, 4.0), (30.0, 1.0, 7.0), (100.0, 5.0, 60.0)]:
        d = BetaNegativeBinomial(*(torch.tensor(p, dtype=torch.float64) for p in (a, b, n)))
        for k in (0, 50, 10**6, 10**12):
            with mp.workdps(30):
                terms = [mp.exp(beta_binomial(mp.mpf(f), b, a, n + k)) for f in range(int(n))]
                expected = float(mp.log(mp.fsum(terms)))
            assert d.log_survival(torch.tensor(float(k), dtype=torch.float64)).item() == pytest.approx(
                expected, rel=1e-10
            )


@pytest.mark.parametrize(
    "make, name",
    [
        (lambda: BetaBinomial(-1.0, 1.0, 3, validate_args=True), "concentration1"),
        (lambda: BetaBinomial(1.0, 1.0, 2.5, validate_args=True), "total_count"),
        (lambda: GammaPoisson(1.0, 0.0, validate_args=True), "rate"),
        (lambda: NegativeBinomial2(1.0, -1.0, validate_args=True), "concentration"),
        (lambda: NegativeBinomialProbs(1.0, 1.0, validate_args=True), "probs"),
        (lambda: BetaNegativeBinomial(1.0, 1.0, 0.0, validate_args=True), "n"),
        (lambda: DiscreteUniform(3, 2, validate_args=True), "low > high"),
        (lambda: DiscreteUniform(0.5, 2, validate_args=True), "low"),
        (lambda: DiscreteWeibull(1.5, 1.0, validate_args=True), "q"),
        (lambda: HyperGeometric(3, 4, 1, validate_args=True), "population"),
        (lambda: Skellam(0.0, 1.0, validate_args=True), "rate1"),
        (lambda: Zipf(1.0, validate_args=True), "power"),
        (lambda: LogNormalNegativeBinomial(1.0, 0.0, 0.0, validate_args=True), "multiplicative_noise_scale"),
    ],
)
def test_wrong_parameters_are_named(make, name):
    with pytest.raises(ParameterError, match=name):
        make()


def test_values_are_listed_where_they_are_the_same_for_the_batch():
    d = BetaBinomial(torch.ones(2), 1.0, 3)
    assert torch.equal(d.enumerate_support()[:, 0], torch.arange(4.0)) and d.enumerate_support(False).shape == (4, 1)
    assert torch.equal(HyperGeometric(5, 4, 3).enumerate_support(), torch.tensor([2.0, 3.0]))
    for mixed in (BetaBinomial(1.0, 1.0, torch.tensor([1, 2])), DiscreteUniform(0, torch.tensor([1, 2]))):
        with pytest.raises(UnsupportedError, match="differ within the batch"):
            mixed.enumerate_support()


def test_beta_binomial_to_a_tolerance():
    d = BetaBinomial(2.0, 3.5, 7).expand((1,))
    k = torch.arange(8.0)
    rough = BetaBinomial(2.0, 3.5, 7)
    rough.approx_log_prob_tol = 0.05
    assert 0 < (rough.log_prob(k) - d.log_prob(k)).abs().max() < 0.05
    assert rough.expand((3, 8)).approx_log_prob_tol == 0.05


def test_no_trials_at_all():
    none = torch.tensor(-3.0)
    assert (
        ExtendedBinomial(none, torch.tensor(0.5)).sample() == 0 and ExtendedBetaBinomial(1.0, 1.0, none).sample() == 0
    )
    assert ExtendedBetaBinomial(1.0, 1.0, none).mean == 0 and ExtendedBinomial(none, torch.tensor(0.5)).variance == 0
    assert BetaBinomial(1.0, 1.0, 0).log_prob(torch.tensor(0.0)) == 0
    assert NegativeBinomial2(0.0, 1.0).log_prob(torch.tensor([0.0, 1.0])).tolist() == [0.0, -math.inf]


def test_more_points_bring_the_mixture_to_its_integral():
    truth = float(
        mp.quad(
            lambda x: mp.exp(negative_binomial(3, 2.5, mp.exp(-0.3 + 0.9 * x)) - x * x / 2) / mp.sqrt(2 * mp.pi),
            [-12, 0, 12],
        )
    )
    parameters = [torch.tensor(p, dtype=torch.float64) for p in (2.5, -0.3, 0.9)]
    errors = [
        abs(LogNormalNegativeBinomial(*parameters, num_quad_points=n).log_prob(torch.tensor(3)).exp().item() - truth)
        for n in (4, 8, 60)
    ]
    assert errors[0] > errors[1] > errors[2] and errors[2] < 1e-12
