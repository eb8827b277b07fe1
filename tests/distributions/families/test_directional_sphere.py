"""Directions on the sphere of any dimension: VonMisesFisher and PowerSpherical."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
import scipy.stats as st
import torch

import pyroxene.distributions as dist
from pyroxene.distributions.families.directional import PowerSpherical, VonMisesFisher
from pyroxene.distributions.testing import gof
from pyroxene.errors import ParameterError, SupportError

F64 = torch.float64
FAILURE = 1e-6
CLASSES = pytest.mark.parametrize("cls", [VonMisesFisher, PowerSpherical])
DIMS = pytest.mark.parametrize("dim", [2, 3, 4, 7])


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(20260101)


def number(value):
    return torch.tensor(value, dtype=F64)


def directions(*shape):
    return torch.nn.functional.normalize(torch.randn(*shape, dtype=F64), dim=-1)


@pytest.mark.parametrize("k", [1e-12, 1e-3, 1.0, 31.0, 500.0, 1e6])
@pytest.mark.parametrize("dim", [2, 3, 4, 7, 60])
def test_von_mises_fisher_density_is_mpmaths(dim, k):
    mean, value = directions(dim), directions(dim)
    got = VonMisesFisher(mean, number(k)).log_prob(value)
    with mpmath.workdps(40):
        order = mpmath.mpf(dim) / 2 - 1
        c = order * mpmath.log(k) - (order + 1) * mpmath.log(2 * mpmath.pi) - mpmath.log(mpmath.besseli(order, k))
        near = sum((mpmath.mpf(a) - mpmath.mpf(b)) ** 2 for a, b in zip(mean.tolist(), value.tolist()))
        expected = c + k * (1 - near / 2)
        assert abs(float(got) - expected) <= 1e-12 * max(1, abs(expected), k)


@pytest.mark.parametrize("dim", [3, 7])
def test_von_mises_fisher_density_is_scipys(dim):
    mean, value = directions(dim), directions(5, dim)
    expected = st.vonmises_fisher(mean.numpy(), 12.5).logpdf(value.numpy())
    d = VonMisesFisher(mean, number(12.5))
    torch.testing.assert_close(d.log_prob(value), torch.as_tensor(expected), rtol=1e-10, atol=1e-10)
    entropy = st.vonmises_fisher(mean.numpy(), 12.5).entropy()
    torch.testing.assert_close(d.entropy(), torch.as_tensor(entropy), rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize(("dim", "area"), [(2, 2 * math.pi), (4, 2 * math.pi**2)])
def test_no_concentration_is_uniform(dim, area):
    d = VonMisesFisher(directions(dim), torch.zeros((), dtype=F64, requires_grad=True))
    log_prob = d.log_prob(directions(dim))
    torch.testing.assert_close(log_prob, number(-math.log(area)))
    assert d.support.check(d.sample((3,))).all()
    assert torch.autograd.grad(log_prob, d.concentration)[0].isfinite()


def test_von_mises_fisher_is_von_mises_3d():
    mean, value = directions(5, 3), directions(5, 3)
    k = torch.tensor([1e-3, 0.5, 3.0, 40.0, 700.0], dtype=F64)
    d, other = VonMisesFisher(mean, k), dist.VonMises3D(mean * k.unsqueeze(-1))
    for name in ("mean", "variance"):
        torch.testing.assert_close(getattr(d, name), getattr(other, name), rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(d.log_prob(value), other.log_prob(value), rtol=1e-9, atol=1e-9)


@CLASSES
@DIMS
@pytest.mark.parametrize("k", [0.3, 5.0, 200.0])
def test_mass_moments_and_entropy_are_integrals_over_the_cosine(cls, dim, k):
    mean = directions(dim)
    d = cls(mean, number(k))
    across = directions(dim)
    across = torch.nn.functional.normalize(across - mean * (across * mean).sum(), dim=-1)
    nodes, weights = (torch.as_tensor(a) for a in np.polynomial.legendre.leggauss(400))
    v = (nodes + 1) / 2
    angle, slope = math.pi * (1 - v**6), 3 * math.pi * v**5  # the power at the far end is not smooth in the angle
    value = angle.cos().unsqueeze(-1) * mean + angle.sin().unsqueeze(-1) * across
    area = 2 * math.pi ** ((dim - 1) / 2) / math.gamma((dim - 1) / 2)
    log_prob = d.log_prob(value)
    mass = log_prob.exp() * weights * slope * area * angle.sin() ** (dim - 2)
    torch.testing.assert_close(mass.sum(), number(1.0), rtol=1e-10, atol=0)
    torch.testing.assert_close(d.entropy(), -(mass * log_prob.clamp(min=-1e4)).sum(), rtol=1e-9, atol=1e-10)
    cosine = (mass * angle.cos()).sum()
    torch.testing.assert_close(d.mean, mean * cosine, rtol=1e-9, atol=1e-10)
    along = (mass * (angle.cos() - cosine).square()).sum()
    sideways = (mass * angle.sin().square()).sum() / (dim - 1)
    expected = sideways + (along - sideways) * mean.square()
    torch.testing.assert_close(d.variance, expected, rtol=1e-8, atol=1e-10)


@CLASSES
@DIMS
@pytest.mark.parametrize("k", [0.1, 4.0, 1e4])
def test_samples_fit_the_density(cls, dim, k):
    d = cls(directions(dim), number(k))
    value = d.sample((20_000,))
    assert d.support.check(value).all()
    fall = (value - d.mean_direction).square().sum(-1) / 2
    if cls is PowerSpherical:
        uniform = st.beta((dim - 1) / 2, (dim - 1) / 2 + k).cdf(fall / 2)
    else:
        nodes = torch.linspace(0, 2**0.5, 20_001, dtype=F64)  # fall = s^2 tames the end
        density = nodes ** (dim - 2) * (2 - nodes.square()).clamp(min=1e-6) ** ((dim - 3) / 2)
        cumulative = torch.cumulative_trapezoid(density * torch.exp(-k * nodes.square()), nodes)
        if dim == 2:
            uniform = st.vonmises(k).cdf(2 * np.arcsin((fall / 2).sqrt())) * 2 - 1
        else:
            uniform = np.interp(fall.sqrt(), nodes[1:], cumulative / cumulative[-1])
    assert st.kstest(uniform, "uniform").pvalue > FAILURE
    offset = (value - (value * d.mean_direction).sum(-1, True) * d.mean_direction).mean(0)
    assert (offset.abs() < 6 * (d.variance / 20_000).sqrt() + 1e-12).all()  # none of it to one side


def test_samples_on_the_ordinary_sphere_pass_the_test_of_directions():
    d = PowerSpherical(directions(3), number(3.0))
    value = d.sample((20_000,))
    uniform = st.norm.cdf((value - d.mean) @ d.mean_direction)  # a statistic of the cosine alone is not all
    assert np.isfinite(uniform).all()
    probs = d.log_prob(value).exp()
    assert gof.auto_goodness_of_fit(value, probs, dim=2) > FAILURE


def test_gradients_of_samples():
    mean = directions(4)
    k = number(3.0).requires_grad_()
    value = PowerSpherical(mean, k).rsample((40_000,))
    cosine = (value * mean).sum(-1)
    slope = torch.autograd.grad(cosine.mean(), k)[0]
    expected = 3.0 / (3.0 + 3.0) ** 2  # of k / (k + d - 1)
    assert abs(float(slope) - expected) < 0.004


@CLASSES
@pytest.mark.parametrize("opposite", [False, True])
def test_gradients_of_the_density(cls, opposite):
    mean, value = directions(3, 4), directions(3, 4)
    if not opposite:
        value[0] = mean[0]
    k = torch.tensor([0.5, 3.0, 80.0], dtype=F64, requires_grad=True)

    def density(m, k, value):
        return cls(m, k, validate_args=False).log_prob(value)

    assert torch.autograd.gradcheck(density, (mean.requires_grad_(), k, value.requires_grad_()))


def test_nan_is_returned_and_not_tried_forever():
    d = VonMisesFisher(directions(3), number(math.nan), validate_args=False)
    assert d.sample((2,)).isnan().all()


@CLASSES
def test_mistakes(cls):
    with pytest.raises(ParameterError, match="mean_direction"):
        cls(torch.tensor([1.0, 1.0]), 1.0, validate_args=True)
    with pytest.raises(ParameterError, match="concentration"):
        cls(torch.tensor([1.0, 0.0]), -1.0, validate_args=True)
    with pytest.raises(ParameterError, match="vectors"):
        cls(torch.tensor(1.0), 1.0)
    with pytest.raises(SupportError):
        cls(torch.tensor([1.0, 0.0]), 1.0, validate_args=True).log_prob(torch.tensor([1.0, 1.0]))
