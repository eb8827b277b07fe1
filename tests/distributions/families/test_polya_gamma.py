"""TruncatedPolyaGamma against both series in many digits."""

from __future__ import annotations

import math

import mpmath
import pytest
import torch

from pyroxene.distributions.families.polya_gamma import TruncatedPolyaGamma
from pyroxene.distributions.testing import gof
from pyroxene.errors import SupportError

F64 = torch.float64
POINTS = [1e-3, 0.01, 0.1, 0.1599, 0.1601, 0.25, 0.7, 1.5, 2.4, 2.49999]


def survival(x):
    """Untruncated, by integrating the series of exponentials term by term."""
    x = mpmath.mpf(x)
    half = [n + mpmath.mpf(1) / 2 for n in range(80)]
    return sum((-1) ** n * 2 / (h * mpmath.pi) * mpmath.exp(-2 * (h * mpmath.pi) ** 2 * x) for n, h in enumerate(half))


def density(x):
    """Untruncated, by the series of Levy densities, with digits enough for its cancellation."""
    x, odd = mpmath.mpf(x), [2 * n + 1 for n in range(80)]
    return sum(
        (-1) ** n * o / mpmath.sqrt(2 * mpmath.pi * x**3) * mpmath.exp(-(o**2) / (8 * x)) for n, o in enumerate(odd)
    )


@pytest.mark.parametrize("dtype", [F64, torch.float32], ids=str)
def test_density_and_tails(dtype):
    d = TruncatedPolyaGamma(torch.zeros((), dtype=dtype))
    x = torch.tensor(POINTS, dtype=dtype)
    with mpmath.workdps(60):
        beyond = survival(2.5)
        exact = [(density(v) / (1 - beyond), (survival(v) - beyond) / (1 - beyond)) for v in x.tolist()]
        expected = torch.tensor([[float(mpmath.log(p)), float(mpmath.log(s))] for p, s in exact], dtype=F64)
        # the complement of a survival near 1 needs the survival in many digits, which the series of exponentials lacks
        log_cdf = torch.tensor([float(mpmath.log(1 - s)) for _, s in exact[1:]], dtype=F64)
    tolerance = {"rtol": 1e-10, "atol": 1e-10} if dtype is F64 else {"rtol": 2e-5, "atol": 2e-5}
    torch.testing.assert_close(d.log_prob(x).double(), expected[:, 0], **tolerance)
    torch.testing.assert_close(d.log_cdf(x[1:]).double(), log_cdf, **tolerance)
    if dtype is F64:  # near the end of the support the survival is a difference of rounded numbers
        torch.testing.assert_close(d.log_survival(x[:-1]), expected[:-1, 1], rtol=1e-9, atol=1e-9)


def test_edges():
    d = TruncatedPolyaGamma(torch.zeros((), dtype=F64), validate_args=False)
    outside = torch.tensor([-1.0, 0.0, 2.5, 3.0], dtype=F64)
    assert d.cdf(outside).tolist() == [0, 0, 1, 1]
    assert d.log_survival(outside).tolist() == [0, 0, -math.inf, -math.inf]
    assert d.log_prob(outside)[[0, 1, 3]].eq(-math.inf).all()
    tiny = torch.tensor(1e-30, dtype=F64, requires_grad=True)
    for f in (d.log_prob, d.log_cdf):
        assert f(tiny).isfinite() and torch.autograd.grad(f(tiny), tiny)[0].isfinite()
    with pytest.raises(SupportError, match="within the support"):
        TruncatedPolyaGamma(torch.zeros(()), validate_args=True).log_prob(torch.tensor(2.6))


def test_quantiles_gradients_and_moments():
    d = TruncatedPolyaGamma(torch.zeros(3, dtype=F64))
    x = torch.tensor(POINTS[1:-1], dtype=F64, requires_grad=True)
    torch.testing.assert_close(d.icdf(d.cdf(x)), x.detach(), rtol=1e-9, atol=0)
    assert d.icdf(torch.tensor([0.0, 1.0, 1.1])).isnan().tolist() == [False, False, True]
    (slope,) = torch.autograd.grad(d.cdf(x).sum(), x)
    torch.testing.assert_close(slope, d.log_prob(x.detach().unsqueeze(-1))[:, 0].exp(), rtol=1e-9, atol=1e-12)
    inner = torch.tensor([0.05, 0.15, 0.2, 1.3], dtype=F64, requires_grad=True)
    assert torch.autograd.gradcheck(TruncatedPolyaGamma(torch.zeros((), dtype=F64)).log_prob, inner)
    grid = (torch.arange(100000, dtype=F64) + 0.5) / 40000
    p = TruncatedPolyaGamma(torch.zeros((), dtype=F64)).log_prob(grid).exp() / 40000
    assert float(p.sum()) == pytest.approx(1, abs=1e-8)
    assert float((p * grid).sum()) == pytest.approx(float(d.mean[0]), abs=1e-8)
    assert float((p * (grid - d.mean[0]) ** 2).sum()) == pytest.approx(float(d.variance[0]), abs=1e-8)


def test_samples():
    torch.manual_seed(20260101)
    d = TruncatedPolyaGamma(torch.zeros(2, 5000, dtype=F64))
    x = d.sample()
    assert x.shape == (2, 5000) and d.support.check(x).all()
    assert gof.auto_goodness_of_fit(x.flatten(), d.log_prob(x).exp().flatten()) > 1e-6
    assert gof.unif01_goodness_of_fit(d.cdf(x).flatten()) > 1e-6
    assert TruncatedPolyaGamma(torch.zeros(2)).expand((3, 2)).sample((4,)).dtype == torch.float32
