"""Zero-inflated and hurdle distributions: probabilities put together by hand, sums, samples, edges of the gate."""

from __future__ import annotations

import math

import mpmath as mp
import pytest
import scipy.stats
import torch

from pyroxene.distributions.families.gated import log_mixture
from pyroxene.distributions.families.hurdle import HurdleDistribution, HurdleLogits, HurdleProbs
from pyroxene.distributions.families.hurdle_named import (
    HurdleGamma,
    HurdleLogNormal,
    HurdleNegativeBinomial,
    HurdleNegativeBinomial2,
    HurdlePoisson,
)
from pyroxene.distributions.families.zero_inflated import (
    ZeroInflatedDistribution,
    ZeroInflatedLogits,
    ZeroInflatedNegativeBinomial,
    ZeroInflatedNegativeBinomial2,
    ZeroInflatedPoisson,
    ZeroInflatedProbs,
)
from pyroxene.distributions.torch import Gamma, Multinomial, Poisson
from pyroxene.errors import ParameterError, SupportError

st = scipy.stats
RATE, COUNT, PROBS, GATE = (torch.tensor(x, dtype=torch.float64) for x in (2.5, 3.0, 0.4, 0.3))
LOGITS = GATE.log() - torch.log1p(-GATE)
MEAN = COUNT * PROBS / (1 - PROBS)
POISSON, NEGATIVE = st.poisson(2.5), st.nbinom(3.0, 0.6)

COUNTS = [
    (ZeroInflatedDistribution(Poisson(RATE), gate=GATE), POISSON),
    (ZeroInflatedProbs(Poisson(RATE), GATE), POISSON),
    (ZeroInflatedLogits(Poisson(RATE), LOGITS), POISSON),
    (ZeroInflatedPoisson(RATE, gate=GATE), POISSON),
    (ZeroInflatedPoisson(RATE, gate_logits=LOGITS), POISSON),
    (ZeroInflatedNegativeBinomial(COUNT, probs=PROBS, gate=GATE), NEGATIVE),
    (ZeroInflatedNegativeBinomial(COUNT, logits=PROBS.logit(), gate_logits=LOGITS), NEGATIVE),
    (ZeroInflatedNegativeBinomial2(MEAN, COUNT, gate=GATE), NEGATIVE),
    (HurdleDistribution(Poisson(RATE), gate_logits=LOGITS), POISSON),
    (HurdleProbs(Poisson(RATE), GATE), POISSON),
    (HurdleLogits(Poisson(RATE), LOGITS), POISSON),
    (HurdlePoisson(GATE, RATE), POISSON),
    (HurdleNegativeBinomial(GATE, COUNT, PROBS), NEGATIVE),
    (HurdleNegativeBinomial(GATE, COUNT, logits=PROBS.logit()), NEGATIVE),
    (HurdleNegativeBinomial2(GATE, MEAN, COUNT), NEGATIVE),
]
REALS = [
    (HurdleDistribution(Gamma(RATE, COUNT), gate=GATE), st.gamma(2.5, scale=1 / 3.0)),
    (HurdleGamma(GATE, RATE, COUNT), st.gamma(2.5, scale=1 / 3.0)),
    (HurdleLogNormal(GATE, PROBS, torch.tensor(0.5, dtype=torch.float64)), st.lognorm(0.5, scale=math.exp(0.4))),
]


def name(x):
    return type(x).__name__


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(20260106)


@pytest.mark.parametrize("d, base", COUNTS, ids=name)
def test_counts(d, base):
    k = torch.arange(0.0, 150.0, dtype=torch.float64)
    plain = torch.as_tensor(base.pmf(k.numpy()))
    if isinstance(d, HurdleDistribution):
        expected = torch.where(k == 0, 0.3, 0.7 * plain / (1 - base.pmf(0)))
    else:
        expected = torch.where(k == 0, 0.3 + 0.7 * plain, 0.7 * plain)
    torch.testing.assert_close(d.log_prob(k).exp(), expected, rtol=1e-10, atol=0)
    mean = (expected * k).sum()
    torch.testing.assert_close(d.mean, mean, rtol=1e-10, atol=0)
    torch.testing.assert_close(d.variance, (expected * (k - mean) ** 2).sum(), rtol=1e-10, atol=0)
    torch.testing.assert_close(d.cdf(k), expected.cumsum(0), rtol=1e-10, atol=0)
    few = k[:30]
    torch.testing.assert_close(d.log_survival(few), expected.flip(0).cumsum(0).flip(0)[1:31].log(), rtol=1e-9, atol=0)
    inside = (d.cdf(k[:12]) + d.cdf(k[:12] - 1)) / 2
    assert torch.equal(d.icdf(inside), k[:12])
    assert d.cdf(torch.tensor(-0.5)) == 0 and d.log_survival(torch.tensor(-0.5)) == 0
    far = torch.tensor(3000.0, dtype=torch.float64)
    assert -1e5 < d.log_survival(far) < -1000


@pytest.mark.parametrize("d, base", COUNTS, ids=name)
def test_samples_of_counts(d, base):
    """A chi-squared test at a failure rate of 1e-6."""
    count = 10000
    samples = d.sample((count,))
    k = torch.arange(0.0, 9.0, dtype=torch.float64)
    probs = d.log_prob(k).exp()
    expected = torch.cat([probs, 1 - probs.sum(0, keepdim=True)]) * count
    observed = torch.cat([(samples == k[:, None]).sum(1).double(), (samples > 8).sum(0, keepdim=True).double()])
    assert st.chi2.sf(((observed - expected) ** 2 / expected).sum().item(), 9) > 1e-6


@pytest.mark.parametrize("d, base", REALS, ids=name)
def test_positive_reals_beside_a_mass_at_zero(d, base):
    x = torch.linspace(0.1, 4.0, 9, dtype=torch.float64)
    torch.testing.assert_close(d.log_prob(x).exp(), torch.as_tensor(0.7 * base.pdf(x.numpy())), rtol=1e-10, atol=0)
    zero = torch.tensor(0.0, dtype=torch.float64)
    assert d.log_prob(zero).exp().item() == pytest.approx(0.3) and d.cdf(zero).item() == pytest.approx(0.3)
    torch.testing.assert_close(d.cdf(x), torch.as_tensor(0.3 + 0.7 * base.cdf(x.numpy())), rtol=1e-9, atol=0)
    torch.testing.assert_close(d.icdf(d.cdf(x)), x, rtol=1e-8, atol=0)
    assert d.icdf(torch.tensor(0.2, dtype=torch.float64)) == 0
    assert d.mean.item() == pytest.approx(0.7 * base.mean())
    assert d.variance.item() == pytest.approx(0.7 * base.moment(2) - (0.7 * base.mean()) ** 2)
    samples = d.sample((4000,))
    assert st.binomtest(int((samples == 0).sum()), 4000, 0.3).pvalue > 1e-6
    assert st.kstest(samples[samples > 0].numpy(), base.cdf).pvalue > 1e-6


def test_the_mixture_with_zero_to_the_ends_of_gate_and_probability():
    log_probs = torch.tensor([-1e-12, -1.0, -50.0, -700.0, -5000.0], dtype=torch.float64)
    for gate in (0.0, 1e-300, 1e-20, 0.3, 1.0):
        with mp.workdps(40):
            expected = [
                float(mp.log(mp.mpf(gate) + (1 - mp.mpf(gate)) * mp.exp(mp.mpf(p)))) for p in log_probs.tolist()
            ]
        got = log_mixture(torch.tensor(gate, dtype=torch.float64), log_probs)
        torch.testing.assert_close(got, torch.tensor(expected, dtype=torch.float64), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("gate", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("cls", [ZeroInflatedDistribution, HurdleDistribution])
def test_gradients_are_finite_at_the_ends_of_the_gate(cls, gate):
    gate = torch.tensor(gate, dtype=torch.float64, requires_grad=True)
    rate = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    zero = cls is ZeroInflatedDistribution or gate > 0
    value = torch.tensor(0.0 if zero else 3.0, dtype=torch.float64)
    gradients = torch.autograd.grad(cls(Poisson(rate), gate=gate).log_prob(value), [gate, rate])
    assert all(g.isfinite() for g in gradients)


@pytest.mark.parametrize("make", [lambda g, r: ZeroInflatedPoisson(r, gate=g), lambda g, r: HurdlePoisson(g, r)])
def test_gradients_are_those_of_finite_differences(make):
    values = torch.tensor([0.0, 1.0, 4.0], dtype=torch.float64)
    leaves = GATE.clone().requires_grad_(), RATE.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda g, r: make(g, r).log_prob(values), leaves)


def test_a_base_that_is_nearly_always_zero_is_drawn_by_quantiles():
    rate = torch.tensor([1e-12, 3.0], dtype=torch.float64)
    d = HurdlePoisson(torch.tensor(0.5, dtype=torch.float64), rate)
    samples = d.sample((2000,))
    rare = samples[:, 0]
    assert set(rare.unique().tolist()) == {0.0, 1.0}
    assert st.binomtest(int((rare == 0).sum()), 2000, 0.5).pvalue > 1e-6
    assert d.log_prob(torch.ones(2, dtype=torch.float64))[0].item() == pytest.approx(math.log(0.5))


@pytest.mark.parametrize("cls", [ZeroInflatedDistribution, HurdleDistribution])
def test_errors(cls):
    for both in ({}, {"gate": GATE, "gate_logits": LOGITS}):
        with pytest.raises(ParameterError, match="Either `gate` or `gate_logits` must be specified, but not both."):
            cls(Poisson(RATE), **both)
    with pytest.raises(ParameterError, match="expected empty base_dist.event_shape but got"):
        cls(Multinomial(2, torch.ones(3)), gate=0.5)
    with pytest.raises(ParameterError, match="gate"):
        cls(Poisson(RATE), gate=1.5, validate_args=True)
    with pytest.raises(SupportError, match=cls.__name__):
        cls(Poisson(RATE), gate=0.5, validate_args=True).log_prob(torch.tensor(-1.0))


def test_probs_or_logits():
    for both in ({}, {"probs": PROBS, "logits": PROBS}):
        with pytest.raises(ParameterError, match="Either `probs` or `logits`"):
            ZeroInflatedNegativeBinomial(COUNT, gate=GATE, **both)
        with pytest.raises(ParameterError, match="Either `probs` or `logits`"):
            HurdleNegativeBinomial(GATE, COUNT, **both)


def test_gate_and_base_broadcast():
    d = ZeroInflatedPoisson(torch.ones(3), gate=torch.full((2, 1), 0.5))
    assert d.batch_shape == (2, 3) and d.rate.shape == (2, 3) and d.gate.shape == (2, 3)
    assert type(d.expand((4, 2, 3))) is ZeroInflatedPoisson
    assert HurdleGamma(0.5, torch.ones(3), 2.0).sample((5,)).shape == (5, 3)
    assert ZeroInflatedPoisson(2.0, gate=0.5).gate_logits == 0.0
