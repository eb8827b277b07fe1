"""Ordered categories: probabilities against mpmath, also where subtraction would lose them; tails; gradients."""

from __future__ import annotations

import itertools
import math

import mpmath as mp
import pytest
import scipy.stats
import torch

from pyroxene.distributions.families.ordered import OrderedLogistic, OrderedProbit
from pyroxene.errors import SupportError

CUTS = torch.tensor([-1.0, 0.25, 0.25 + 1e-7, 2.0], dtype=torch.float64)
CLASSES = pytest.mark.parametrize("cls", [OrderedLogistic, OrderedProbit])


def log_difference(cls, high, low):
    """Log of F(high) - F(low), from the tail that is nearer."""
    if low is not None and high is not None and low > 0:
        low, high = -high, -low
    elif high is None:
        low, high = None, -low

    def cdf(x):
        if x is None:
            return mp.mpf(0)
        return 1 / (1 + mp.exp(-x)) if cls is OrderedLogistic else mp.erfc(-x / mp.sqrt(2)) / 2

    return mp.log(cdf(high) - cdf(low))


@CLASSES
@pytest.mark.parametrize("predictor", [0.0, 1.5, -30.0, 30.0, 200.0])
def test_log_probabilities_are_exact(cls, predictor):
    d = cls(torch.tensor(predictor, dtype=torch.float64), CUTS)
    with mp.workdps(60):
        bounds = [None] + [mp.mpf(c) - mp.mpf(predictor) for c in CUTS.tolist()] + [None]
        expected = [float(log_difference(cls, high, low)) for low, high in itertools.pairwise(bounds)]
    got = d.log_prob(torch.arange(5))
    torch.testing.assert_close(got, torch.tensor(expected, dtype=torch.float64), rtol=2e-9, atol=1e-14)
    below, above = d.log_cdf(torch.arange(5.0)), d.log_survival(torch.arange(4.0))
    torch.testing.assert_close(below, got.logcumsumexp(0), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(above, got.flip(0).logcumsumexp(0).flip(0)[1:], rtol=1e-9, atol=1e-9)


@CLASSES
@pytest.mark.parametrize("width", [1e-9, 1e-3, 0.02, 0.049, 0.051, 0.3, 5.0])
def test_intervals_of_every_width(cls, width):
    for low in (-8.0, -0.3, 0.0, 2.0, 20.0):
        cuts = torch.tensor([low, low + width], dtype=torch.float64)
        with mp.workdps(60):
            expected = float(log_difference(cls, mp.mpf(cuts[1].item()), mp.mpf(cuts[0].item())))
        got = cls(torch.tensor(0.0, dtype=torch.float64), cuts).log_prob(torch.tensor(1)).item()
        assert got == pytest.approx(expected, rel=1e-10, abs=1e-11)


@CLASSES
def test_moments_quantiles_and_samples(cls):
    cuts = torch.tensor([-1.0, 0.3, 2.0], dtype=torch.float64)
    d = cls(torch.tensor([0.2, -0.5], dtype=torch.float64), cuts)
    k = torch.arange(4.0, dtype=torch.float64)
    torch.testing.assert_close(d.mean, d.probs @ k)
    torch.testing.assert_close(d.variance, d.probs @ k**2 - d.mean**2)
    inside = (d.cdf(k[:, None]) + d.cdf(k[:, None] - 1)) / 2
    assert torch.equal(d.icdf(inside), k[:, None].expand(4, 2))
    assert torch.equal(d.mode, d.probs.argmax(-1))
    torch.manual_seed(0)
    counts = torch.stack([(d.sample((5000,)) == i).sum(0) for i in range(4)]).double()
    expected = d.probs.T * 5000
    statistic = ((counts - expected) ** 2 / expected).sum(0)
    assert (scipy.stats.chi2.sf(statistic.numpy(), 3) > 1e-6).all()  # the failure rate


@CLASSES
def test_gradients_are_those_of_finite_differences(cls):
    leaves = [
        torch.tensor([0.2, 3.0], dtype=torch.float64, requires_grad=True),
        torch.tensor([-1.0, 0.3, 0.31], dtype=torch.float64, requires_grad=True),
    ]
    values = torch.arange(4)[:, None]
    assert torch.autograd.gradcheck(
        lambda p, c: cls(p, c, validate_args=False).log_prob(values), leaves, eps=1e-7, atol=1e-5
    )


@CLASSES
def test_shapes_numbers_and_errors(cls):
    d = cls(torch.zeros(4, 1), torch.tensor([[-1.0, 1.0]]).expand(3, 2))
    assert d.batch_shape == (4, 3) and d.cutpoints.shape == (4, 3, 2) and d.predictor.shape == (4, 3)
    assert cls.infer_shapes((4, 1), (3, 2)) == (d.batch_shape, d.event_shape)
    wide = d.expand((2, 4, 3))
    assert type(wide) is cls and wide.cutpoints.shape == (2, 4, 3, 2) and wide.sample().shape == (2, 4, 3)
    assert cls(0.0, torch.tensor([0.0])).probs.tolist() == [0.5, 0.5]
    with pytest.raises(ValueError, match="cutpoints"):
        cls(0.0, torch.tensor([1.0, 0.0]), validate_args=True)
    with pytest.raises(SupportError, match=cls.__name__):
        cls(0.0, torch.tensor([0.0]), validate_args=True).log_prob(torch.tensor(2))
    assert cls(0.0, torch.tensor([0.0])).log_cdf(torch.tensor(-1.0)) == -math.inf


def test_the_scale_divides():
    cuts = torch.tensor([-1.0, 1.0])
    torch.testing.assert_close(
        OrderedProbit(torch.tensor(0.6), cuts, 2.0).probs, OrderedProbit(torch.tensor(0.3), cuts / 2).probs
    )
