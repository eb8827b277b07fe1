"""The von Mises distribution's cdf, quantiles and entropy."""

from __future__ import annotations

import math

import mpmath as mp
import pytest
import scipy.stats as st
import torch

import pyroxene.distributions as dist
from pyroxene.distributions import tails
from pyroxene.distributions.tails.circular import mean_length_deficit

F64 = torch.float64


def number(value):
    return torch.tensor(value, dtype=F64)


def von_mises(loc, k):
    return dist.VonMises(number(float(loc)), number(float(k)))


def mass(loc, k, low, high):
    """The probability between two angles."""
    scales = [mp.mpf(w) for w in (0.01, 0.1, 0.3, 1, 3, 7, 15, 30, 60, 120)]
    points = [loc + j * mp.pi + s * w / mp.sqrt(k) for j in (-2, -1, 0, 1, 2) for s in (-1, 0, 1) for w in scales]
    points += [low + w / k for w in scales] + [high - w / k for w in scales]
    points = [low, *sorted(p for p in points if low < p < high), high]
    top = max(mp.cos(p - loc) for p in points)  # quad's tolerance is absolute
    integral = mp.quad(lambda x: mp.exp(k * (mp.cos(x - loc) - top)), points)
    return integral * mp.exp(k * top) / (2 * mp.pi * mp.besseli(0, k))


@pytest.mark.parametrize(("loc", "k"), [(0, 1), (0, 1e-3), (3, 2), (2.5, 300), (-7, 50), (0, 1e4)], ids=str)
def test_logs_against_mpmath(loc, k):
    d = von_mises(loc, k)
    for x in (-3.1415, -0.5, 0.01, 2.9):
        with mp.workdps(25):
            centre = mp.mpf(loc) - 2 * mp.pi * mp.floor((loc + mp.pi) / (2 * mp.pi))
            below = mass(centre, mp.mpf(k), -mp.pi, mp.mpf(x))
            above = mass(centre, mp.mpf(k), mp.mpf(x), mp.pi)
            expected = (mp.log(below), mp.log1p(-below)) if below < above else (mp.log1p(-above), mp.log(above))
        for tail, wanted in zip((tails.log_cdf, tails.log_survival), expected):
            assert abs(float(tail(d, number(x))) - wanted) <= 1e-11 * abs(wanted) + 1e-300


def test_ends_and_beyond():
    d = von_mises(0.7, 2.0)
    x = number([-10.0, -math.pi, math.pi, 10.0])
    assert d.cdf(x).tolist() == [0, 0, 1, 1]
    assert d.log_survival(x).exp().tolist() == [1, 1, 0, 0]


def test_scipy_agrees_where_the_circle_begins_opposite_to_the_mean():
    x = torch.linspace(-3.1, 3.1, 9, dtype=F64)
    k = torch.tensor([[0.01], [1.0], [20.0]], dtype=F64)
    expected = torch.as_tensor(st.vonmises(k.numpy()).cdf(x.numpy()))
    torch.testing.assert_close(dist.VonMises(number(0.0), k).cdf(x), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("loc", [0.0, 3.0, -1.3, 9.0])
@pytest.mark.parametrize("k", [0.01, 3.0, 1e5])
def test_quantiles_and_samples(loc, k):
    torch.manual_seed(20260101)
    d = von_mises(loc, k)
    p = number([1e-9, 0.3, 0.5, 1 - 1e-9])
    torch.testing.assert_close(d.cdf(d.icdf(p)), p, rtol=1e-10, atol=1e-15 + 4e-16 * k**0.5)  # an angle's rounding
    assert st.kstest(d.cdf(d.sample((5_000,))).numpy(), "uniform").pvalue > 1e-6


@pytest.mark.parametrize("k", [1e-6, 0.3, 5.0, 199.0, 201.0, 1e8])
def test_entropy(k):
    with mp.workdps(40):
        ratio = mp.besseli(1, k) / mp.besseli(0, k)
        expected = mp.log(2 * mp.pi * mp.besseli(0, k)) - k * ratio
        deficit = k * (1 - ratio)
    assert abs(float(von_mises(1.0, k).entropy()) - expected) < 1e-12 * max(1, abs(expected))
    assert abs(float(mean_length_deficit(number(k))) - deficit) < 1e-12 * max(deficit, mp.mpf(0.1))


def test_gradients():
    inputs = number([-3.0, -0.5, 0.1, 2.9]), number(0.3), number(2.0)
    for tail in (tails.log_cdf, tails.log_survival):
        assert torch.autograd.gradcheck(
            lambda x, loc, k, tail=tail: tail(dist.VonMises(loc, k), x), tuple(i.requires_grad_() for i in inputs)
        )
    beyond = number([-4.0, -math.pi, math.pi, 4.0]).requires_grad_()
    slopes = torch.autograd.grad(tails.cdf(von_mises(0.3, 2.0), beyond).sum(), beyond)[0]
    assert slopes.isfinite().all()


def test_float32():
    k = torch.tensor([0.1, 3.0, 1e3])
    x = torch.tensor([[-2.0], [0.02], [1.0]])
    exact = tails.log_cdf(dist.VonMises(torch.zeros((), dtype=F64), k.double()), x.double())
    torch.testing.assert_close(tails.log_cdf(dist.VonMises(0.0, k), x).double(), exact, rtol=2e-5, atol=2e-6)
