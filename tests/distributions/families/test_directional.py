"""Angles and directions: SineBivariateVonMises, SineSkewed, VonMises3D, ProjectedNormal."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
import torch
from scipy import special, stats

import pyroxene.distributions as dist
from pyroxene.distributions.families.projected_normal import ProjectedNormal
from pyroxene.distributions.families.sine_bivariate_von_mises import SineBivariateVonMises
from pyroxene.distributions.families.sine_skewed import SineSkewed
from pyroxene.distributions.families.von_mises_3d import VonMises3D
from pyroxene.distributions.testing import gof
from pyroxene.errors import ParameterError, SupportError

F64 = torch.float64
FAILURE = 1e-6


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(20260101)


def t(*values):
    return torch.tensor(values if len(values) != 1 else values[0], dtype=F64)


def sine(k1, k2, r, m1=0.0, m2=0.0, dtype=F64):
    return SineBivariateVonMises(*(torch.tensor(float(v), dtype=dtype) for v in (m1, m2, k1, k2, r)))


# one mode, independent, nearly flat, two modes, concentrated, concentrated with two modes
SINES = [(2, 3, 1), (2, 3, 0), (1e-3, 1e-3, 0.5), (1, 1, -5), (100, 50, 20), (10, 10, 100), (1e3, 1e3, 500)]


@pytest.mark.parametrize("parameters", SINES, ids=str)
def test_sine_normaliser_is_the_series_of_bessel_functions(parameters):
    with mpmath.workdps(30):
        k1, k2, r = map(mpmath.mpf, parameters)
        ratio, total, power = r * r / (4 * k1 * k2), mpmath.mpf(0), mpmath.mpf(1)
        for m in range(400):
            term = mpmath.binomial(2 * m, m) * power * mpmath.besseli(m, k1) * mpmath.besseli(m, k2)
            total, power = total + term, power * ratio
            if m > 3 and term < total * mpmath.mpf(10) ** -22:
                break
        expected = float(mpmath.log(4 * mpmath.pi**2 * total))
    assert float(sine(*parameters).norm_const) == pytest.approx(expected, rel=1e-13, abs=1e-12)
    narrow = sine(*parameters, dtype=torch.float32)
    assert float(narrow._log_norm()) == pytest.approx(expected - k1 - k2, rel=2e-5, abs=2e-5)


@pytest.mark.parametrize("parameters", [(1e4, 1e4, 1.5e4), (1e6, 1e6, 5e5), (1, 1e5, 1e3), (1e8, 10, 3)], ids=str)
def test_sine_normaliser_of_narrow_peaks(parameters):
    k1, k2, r = parameters
    angle = math.pi * (np.arange(2_000_000) + 0.5) / 2_000_000
    z = np.hypot(k2, r * np.sin(angle))
    terms = -2 * k1 * np.sin(angle / 2) ** 2 + np.log(special.i0e(z)) + (r * np.sin(angle)) ** 2 / (z + k2)
    expected = special.logsumexp(terms) + math.log(4 * math.pi**2 / 2_000_000)
    assert float(sine(*parameters)._log_norm()) == pytest.approx(expected, rel=1e-10, abs=1e-10)


@pytest.mark.parametrize("parameters", [(2, 3, 1), (0.1, 0.1, 3), (10, 5, 30), (1000, 500, -1200)], ids=str)
def test_sine_samples(parameters):
    d = sine(*parameters, m1=0.5, m2=2.0)
    x = d.sample((20000,))
    assert (x.abs() <= math.pi).all()
    assert gof.auto_goodness_of_fit(x, d.log_prob(x).exp()) > FAILURE


def test_sine_without_correlation_is_two_von_mises():
    d = sine(2, 3, 0, 0.1, 0.2)
    x = torch.randn(10, 2, dtype=F64)
    expected = stats.vonmises.logpdf(x[:, 0], 2, 0.1) + stats.vonmises.logpdf(x[:, 1], 3, 0.2)
    torch.testing.assert_close(d.log_prob(x), torch.as_tensor(expected), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(d.log_prob(x + 2 * math.pi), d.log_prob(x))
    assert torch.equal(d.mean, t(0.1, 0.2))


def test_sine_shapes_and_parameters():
    d = SineBivariateVonMises(0.0, 0.0, torch.ones(3), 4.0, weighted_correlation=torch.full((2, 1), 0.5))
    assert d.batch_shape == (2, 3) and d.expand((4, 2, 3)).sample((5,)).shape == (5, 4, 2, 3, 2)
    assert torch.equal(d.correlation, torch.ones(2, 3))
    shapes = {"phi_loc": (), "psi_loc": (), "phi_concentration": (3,), "psi_concentration": (), "correlation": (2, 1)}
    assert SineBivariateVonMises.infer_shapes(**shapes) == ((2, 3), (2,))
    for given in ({}, {"correlation": 1.0, "weighted_correlation": 1.0}):
        with pytest.raises(ParameterError, match="one of correlation"):
            SineBivariateVonMises(0.0, 0.0, 1.0, 1.0, **given)


def test_sine_gradients():
    inputs = [v.requires_grad_() for v in (t(0.1), t(0.2), t(2.0), t(1500.0), t(3.0), t(0.3, 0.4))]
    assert torch.autograd.gradcheck(lambda *p: SineBivariateVonMises(*p[:5]).log_prob(p[5]), inputs)


@pytest.mark.parametrize("skewness", [(0.6, -0.4), (0.0, 0.0), (1.0, 0.0)], ids=str)
def test_sine_skewed(skewness):
    base = sine(2, 3, 1, 0.5, 2.5)
    d = SineSkewed(base, t(*skewness))
    x = d.sample((20000,))
    factor = 1 + (t(*skewness) * torch.sin(x - base.mean)).sum(-1)
    torch.testing.assert_close(d.log_prob(x), base.log_prob(x) + factor.log())
    assert gof.auto_goodness_of_fit(x, d.log_prob(x).exp()) > FAILURE
    assert (x.abs() <= math.pi).all() and d.support is base.support


def test_sine_skewed_integrates_to_one():
    nodes = 2 * math.pi * torch.arange(64, dtype=F64) / 64
    d = SineSkewed(dist.VonMises(t(0.1, 1.0), t(1.0, 3.0)).to_event(1), t(0.3, 0.6))
    mass = d.log_prob(torch.cartesian_prod(nodes, nodes)).exp().sum() * (2 * math.pi / 64) ** 2
    assert float(mass) == pytest.approx(1, abs=1e-6)  # torch's Bessel function
    assert d.expand((3,)).sample().shape == (3, 2)
    with pytest.raises(ParameterError, match="more than 1"):
        SineSkewed(d.base_dist, t(0.8, 0.4), validate_args=True)
    with pytest.raises(ParameterError, match="of one length"):
        SineSkewed(dist.VonMises(0.0, 1.0), torch.tensor(0.3))


CONCENTRATIONS = [(0.0, 0.0, 0.0), (0.0, 0.0, 1e-6), (1.0, -2.0, 0.5), (-300.0, 0.0, 40.0)]


@pytest.mark.parametrize("concentration", CONCENTRATIONS, ids=str)
def test_von_mises_3d(concentration):
    d = VonMises3D(t(*concentration))
    x = d.rsample((20000,))
    k = math.sqrt(sum(c * c for c in concentration))
    log_ratio = float(mpmath.log(mpmath.mpf(k) / mpmath.sinh(k))) if k > 0 else 0.0
    expected = x @ d.concentration + log_ratio - math.log(4 * math.pi)
    torch.testing.assert_close(d.log_prob(x), expected, rtol=1e-10, atol=1e-10)
    assert gof.auto_goodness_of_fit(x, d.log_prob(x).exp(), dim=2) > FAILURE
    assert ((x.mean(0) - d.mean).abs() < 5 * (d.variance / 20000).sqrt()).all()
    torch.testing.assert_close(d.variance, x.var(0), rtol=0.1, atol=1e-6)
    assert d.log_prob(d.mode) >= d.log_prob(x).max() - 2e-6  # the mode of what is nearly uniform is any axis


def test_von_mises_3d_gradients():
    c = torch.randn(3, dtype=F64, requires_grad=True)
    x = dist.Normal(torch.zeros(4, 3, dtype=F64), 1.0).sample()
    x = x / x.norm(dim=-1, keepdim=True)
    assert torch.autograd.gradcheck(lambda c: VonMises3D(c).log_prob(x), c)
    zero = torch.zeros(3, dtype=F64, requires_grad=True)
    (slope,) = torch.autograd.grad(VonMises3D(zero).log_prob(x).sum(), zero)
    torch.testing.assert_close(slope, x.sum(0))
    wide = c.detach().expand(20000, 3).clone().requires_grad_()
    (path,) = torch.autograd.grad(VonMises3D(wide).rsample().sum(), wide)  # of the mean of the sum of coordinates
    (exact,) = torch.autograd.grad(VonMises3D(c).mean.sum(), c)
    assert ((path.mean(0) - exact).abs() < 5 * path.std(0) / 20000**0.5).all()
    with pytest.raises(ParameterError, match="in space"):
        VonMises3D(torch.zeros(2))


def radial(t, dim):
    """The integral of r^(dim - 1) exp(-r^2 / 2 + r t), by the parabolic cylinder function (DLMF 12.5.1)."""
    with mpmath.workdps(40):
        t = mpmath.mpf(t)
        cylinder = mpmath.pcfu(dim - mpmath.mpf(1) / 2, -t)
        return float(mpmath.log(mpmath.gamma(dim)) + t * t / 4 + mpmath.log(cylinder) - max(t, 0) ** 2 / 2)


@pytest.mark.parametrize("dim", [1, 2, 3, 4, 7, 30])
def test_projected_normal_density(dim):
    cosines = np.array([-1.0, -0.3, 0.0, 0.4, 1.0]) if dim > 1 else np.array([-1.0, 1.0])
    for length in (0.0, 0.5, 2.5, 3.0, 10.0, 300.0):
        concentration = torch.zeros(dim, dtype=F64)
        concentration[0] = length
        value = torch.zeros(len(cosines), dim, dtype=F64)
        value[:, -1] = torch.as_tensor(np.sqrt(1 - cosines**2))
        value[:, 0] = torch.as_tensor(cosines)
        expected = [
            radial(length * c, dim) + (max(length * c, 0) ** 2 - length**2) / 2 - dim * math.log(2 * math.pi) / 2
            for c in cosines
        ]
        got = ProjectedNormal(concentration).log_prob(value)
        torch.testing.assert_close(got, torch.tensor(expected, dtype=F64), rtol=1e-10, atol=1e-10)
        narrow = ProjectedNormal(concentration.float()).log_prob(value.float())
        torch.testing.assert_close(narrow.double(), got, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("dim", [2, 3, 4])
def test_projected_normal_samples(dim):
    d = ProjectedNormal(torch.randn(dim, dtype=F64))
    x = d.sample((20000,))
    assert gof.auto_goodness_of_fit(x, d.log_prob(x).exp(), dim=dim - 1) > FAILURE
    torch.testing.assert_close(d.mode, d.concentration / d.concentration.norm())
    assert torch.equal(d.mean, d.mode) and d.log_prob(d.mode) >= d.log_prob(x).max()


@pytest.mark.parametrize("dim", [2, 3, 5])
def test_projected_normal_gradients(dim):
    x = ProjectedNormal(torch.zeros(dim, dtype=F64)).sample((6,))
    for scale in (0.3, 6.0):
        c = (scale * torch.randn(dim, dtype=F64)).requires_grad_()
        assert torch.autograd.gradcheck(lambda c: ProjectedNormal(c).log_prob(x), c)
    wide = torch.zeros(2, dim, dtype=F64, requires_grad=True)
    assert torch.autograd.grad(ProjectedNormal(wide).rsample().sum(), wide)[0].isfinite().all()
    assert ProjectedNormal(wide).mode[0, 0] == 1 and ProjectedNormal(wide).expand((3, 2)).mode.shape == (3, 2, dim)
    assert torch.autograd.grad(ProjectedNormal(1e4 * (wide + 1)).log_prob(x[:2]).sum(), wide)[0].isfinite().all()


def test_projected_normal_mistakes():
    with pytest.raises(ParameterError, match="vectors"):
        ProjectedNormal(torch.tensor(1.0))
    with pytest.raises(SupportError, match="within the support"):
        ProjectedNormal(torch.zeros(2), validate_args=True).log_prob(torch.ones(2))
