"""Every continuous univariate family against scipy, quadrature and its own samples; a new class is one line of ROWS."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import pickle
from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest
import scipy.stats as st
import torch

from pyroxene.distributions.families.beta import AffineBeta, BetaProportion, log_beta
from pyroxene.distributions.families.bounded import LogUniform, Triangular
from pyroxene.distributions.families.extremes import GeneralizedExtremeValue, Gompertz, Moyal
from pyroxene.distributions.families.first_passage import InverseGaussian, Levy
from pyroxene.distributions.families.flat import Flat, HalfFlat
from pyroxene.distributions.families.generalized_normal import GeneralizedNormal
from pyroxene.distributions.families.half_student_t import HalfStudentT
from pyroxene.distributions.families.horseshoe import Horseshoe
from pyroxene.distributions.families.interpolated import Interpolated
from pyroxene.distributions.families.laplace import (
    AsymmetricLaplace,
    AsymmetricLaplaceQuantile,
    SoftAsymmetricLaplace,
    SoftLaplace,
)
from pyroxene.distributions.families.logistic import Dagum, Logistic, SkewLogistic
from pyroxene.distributions.families.reshaped_normal import JohnsonSU, SinhArcsinh
from pyroxene.distributions.families.rice import Rice
from pyroxene.distributions.families.skew_normal import ExGaussian, SkewNormal
from pyroxene.distributions.stable import Stable, StableWithLogProb
from pyroxene.errors import CannotSampleError, ParameterError, ShapeError, SupportError, UnsupportedError, UsageError


@dataclasses.dataclass
class Row:
    """A distribution: its class, parameters, and scipy's frozen distribution where scipy has it."""

    cls: Any
    parameters: dict[str, Any]
    scipy: Any = None
    tails: bool = True  # whether quantiles at 1e-12 are finite numbers to go to
    tolerance: float = 1e-10

    def make(self, dtype=torch.float64, **kwargs):
        return self.cls(**{n: torch.tensor(v, dtype=dtype) for n, v in self.parameters.items()}, **kwargs)


def row(cls: Any, ref: Any = None, tails: bool = True, tolerance: float = 1e-10, **parameters: Any) -> Any:
    label = ", ".join(str(v) for v in parameters.values())
    return pytest.param(Row(cls, parameters, ref, tails, tolerance), id=f"{cls.__name__}({label})")


def stable(a: float, b: float) -> Any:
    return row(StableWithLogProb, None, False, 1e-8, stability=a, skew=b, scale=1.5, loc=0.3)


GRID = ([0.0, 0.5, 1.0, 3.0], [0.2, 1.5, 0.0, 1.0])
ROWS = [
    row(Logistic, st.logistic(0.3, 2.0), loc=0.3, scale=2.0),
    row(SkewLogistic, st.genlogistic(0.4, 0.3, 2.0), loc=0.3, scale=2.0, asymmetry=0.4),
    row(SkewLogistic, st.genlogistic(90.0, 0.3, 2.0), loc=0.3, scale=2.0, asymmetry=90.0),
    row(SoftLaplace, st.hypsecant(0.3, 2.0), loc=0.3, scale=2.0),
    row(AsymmetricLaplace, st.laplace_asymmetric(0.4, 0.3, 2.0), loc=0.3, scale=2.0, asymmetry=0.4),
    row(AsymmetricLaplaceQuantile, None, loc=0.3, scale=2.0, quantile=0.2),
    row(SoftAsymmetricLaplace, None, loc=0.3, scale=2.0, asymmetry=0.4, softness=0.7),
    row(SoftAsymmetricLaplace, None, loc=0.3, scale=2.0, asymmetry=3.0, softness=20.0),
    row(AffineBeta, st.beta(2.5, 0.7, -1.0, 3.0), concentration1=2.5, concentration0=0.7, loc=-1.0, scale=3.0),
    row(BetaProportion, st.beta(0.6, 2.4), mean=0.2, concentration=3.0),
    row(HalfStudentT, None, df=2.5, scale=2.0),
    row(HalfStudentT, st.halfcauchy(scale=2.0), df=1.0, scale=2.0),
    row(HalfStudentT, None, df=1e6, scale=2.0),
    row(SkewNormal, st.skewnorm(3.0, 0.3, 2.0), loc=0.3, scale=2.0, alpha=3.0),
    row(SkewNormal, st.skewnorm(-0.5, 0.3, 2.0), loc=0.3, scale=2.0, alpha=-0.5),
    row(ExGaussian, st.exponnorm(1 / 1.4, 0.3, 2.0), loc=0.3, scale=2.0, rate=0.7),
    row(ExGaussian, st.exponnorm(1 / 40.0, 0.3, 2.0), loc=0.3, scale=2.0, rate=20.0),
    row(InverseGaussian, st.invgauss(1.5 / 0.7, scale=0.7), loc=1.5, concentration=0.7),
    row(InverseGaussian, st.invgauss(1.5 / 70, scale=70), loc=1.5, concentration=70.0),
    row(Levy, st.levy(0.3, 2.0), loc=0.3, scale=2.0, tails=False),
    row(Rice, st.rice(1.5 / 0.7, scale=0.7), nu=1.5, scale=0.7),
    row(Rice, st.rayleigh(scale=0.7), nu=0.0, scale=0.7),
    row(Rice, st.rice(30.0, scale=0.5), nu=15.0, scale=0.5),
    row(Triangular, st.triang(0.25, -1.0, 4.0), low=-1.0, high=3.0, peak=0.0),
    row(Triangular, st.triang(0.0, -1.0, 4.0), low=-1.0, high=3.0, peak=-1.0),
    row(Triangular, st.triang(1.0, -1.0, 4.0), low=-1.0, high=3.0, peak=3.0),
    row(Moyal, st.moyal(0.3, 2.0), loc=0.3, scale=2.0),
    row(LogUniform, st.loguniform(0.5, 20.0), low=0.5, high=20.0),
    row(Gompertz, st.gompertz(0.7, scale=1 / 1.3), concentration=0.7, rate=1.3),
    row(Gompertz, st.gompertz(3.0, scale=1 / 1.3), concentration=3.0, rate=1.3),
    row(Dagum, st.burr(3.3, 0.7, scale=2.0), concentration=0.7, sharpness=3.3, scale=2.0),
    row(GeneralizedNormal, st.gennorm(0.6, 0.3, 2.0), tolerance=1e-7, loc=0.3, scale=2.0, power=0.6),
    row(GeneralizedNormal, st.gennorm(5.0, 0.3, 2.0), loc=0.3, scale=2.0, power=5.0),
    row(GeneralizedExtremeValue, st.genextreme(-0.2, 0.3, 2.0), loc=0.3, scale=2.0, concentration=0.2),
    row(GeneralizedExtremeValue, st.genextreme(0.4, 0.3, 2.0), loc=0.3, scale=2.0, concentration=-0.4),
    row(GeneralizedExtremeValue, st.gumbel_r(0.3, 2.0), loc=0.3, scale=2.0, concentration=0.0),
    row(JohnsonSU, st.johnsonsu(0.8, 1.7, 0.3, 2.0), skewness=0.8, tailweight=1.7, loc=0.3, scale=2.0),
    row(SinhArcsinh, None, loc=0.3, scale=2.0, skewness=0.4, tailweight=1.3),
    row(Interpolated, None, x_points=GRID[0], pdf_points=GRID[1]),
    row(Horseshoe, None, scale=0.7, tails=False),
    stable(1.5, 0.5),
    stable(0.8, -0.6),
    stable(1.0, 0.7),
    stable(1.004, 0.3),
    stable(2.0, 0.0),
]
ALL = pytest.mark.parametrize("row", ROWS)
QUICK = pytest.mark.parametrize("row", [r for r in ROWS if r.values[0].cls is not StableWithLogProb])  # to solve for
SCIPY = pytest.mark.parametrize("row", [r for r in ROWS if r.values[0].scipy is not None])
PROBABILITIES = [1e-6, 1e-3, 0.05, 0.3, 0.5, 0.8, 0.99, 1 - 1e-5]
EXTREME = [1e-250, 1e-40, 1e-12]


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(20260401)


def tensor(values: Any, dtype=torch.float64) -> torch.Tensor:
    return torch.as_tensor(np.asarray(values), dtype=dtype)


def inner_points(d: Any) -> torch.Tensor:
    """Quantiles, from the samples of the class rather than from its icdf."""
    draws = d.sample(torch.Size((4001,))).sort().values
    return draws[torch.tensor([5, 200, 1000, 2000, 3000, 3800, 3995])]


def integrate(function: Any, low: float, high: float, kinks: list[float]) -> float:
    """Gauss-Legendre quadrature between two points, split at kinks."""
    cuts = sorted([*np.linspace(low, high, 4), *(k for k in kinks if low < k < high)])
    nodes, weights = np.polynomial.legendre.leggauss(24)
    total = 0.0
    for a, b in itertools.pairwise(cuts):
        x = tensor(0.5 * (a + b) + 0.5 * (b - a) * nodes)
        total += 0.5 * (b - a) * float((function(x) * tensor(weights)).sum())
    return total


def density(d: Any) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda x: d.log_prob(x).exp()


@SCIPY
def test_scipy_gives_the_same_density(row):
    d = row.make(validate_args=False)
    x = tensor(row.scipy.ppf([1e-12, *PROBABILITIES]))
    torch.testing.assert_close(d.log_prob(x), tensor(row.scipy.logpdf(x.numpy())), rtol=1e-10, atol=1e-10)


@SCIPY
def test_scipy_gives_the_same_distribution_function(row):
    d, x = row.make(), tensor(row.scipy.ppf(PROBABILITIES))
    torch.testing.assert_close(d.log_cdf(x), tensor(row.scipy.logcdf(x.numpy())), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(d.log_survival(x), tensor(row.scipy.logsf(x.numpy())), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(d.cdf(x), tensor(row.scipy.cdf(x.numpy())), rtol=1e-9, atol=1e-12)


@SCIPY
def test_scipy_gives_the_same_moments(row):
    d = row.make()
    mean, variance = row.scipy.stats("mv")
    torch.testing.assert_close(d.mean, tensor(mean), rtol=1e-8, atol=1e-8, equal_nan=True)
    if row.cls is not Gompertz and d.mean.isfinite():  # Gompertz's is not closed
        torch.testing.assert_close(d.variance, tensor(variance), rtol=1e-8, atol=1e-8, equal_nan=True)


@ALL
def test_the_distribution_function_is_the_integral_of_the_density(row):
    d = row.make(validate_args=False)
    points = inner_points(d)[1:6]
    kinks = [float(v) for n in ("loc", "peak", "x_points") if n in row.parameters for v in np.ravel(row.parameters[n])]
    if row.cls is Horseshoe:
        points = points[points > 0.1]  # the density is infinite at 0
    f = density(d)
    for a, b in itertools.pairwise(points.tolist()):
        whole = float(d.cdf(tensor(b)) - d.cdf(tensor(a)))
        assert whole == pytest.approx(integrate(f, a, b, kinks), rel=row.tolerance * 100, abs=1e-12)


@ALL
def test_log_cdf_and_log_survival_are_of_complements(row):
    d = row.make()
    x = inner_points(d)
    torch.testing.assert_close(d.log_cdf(x).exp() + d.log_survival(x).exp(), torch.ones(7).double(), rtol=1e-9, atol=0)


@QUICK
def test_tails_are_finite_and_slope_as_the_density_says(row):
    d = row.make(validate_args=False)
    if not row.tails:
        x = inner_points(d)
    else:
        found = []
        for p in EXTREME if row.cls._inverse_cdf is not None else EXTREME[-1:]:  # the others are solved for
            log_p = tensor(p).log()
            below = _solve(d, log_p, left=True)
            above = _solve(d, log_p, left=False)
            found += [below, above]
        x = torch.stack(found)
    x = x.clone().requires_grad_()
    below, above = d.log_cdf(x), d.log_survival(x)
    assert below.isfinite().all() and above.isfinite().all()
    for log_tail, sign in ((below, 1.0), (above, -1.0)):
        (slope,) = torch.autograd.grad(log_tail.sum(), x, retain_graph=True)
        expected = sign * torch.exp(d.log_prob(x.detach()) - log_tail.detach())
        usable = (expected.abs() > 1e-280) & (log_tail.detach() < -1e-9)
        torch.testing.assert_close(slope[usable], expected[usable], rtol=1e-6, atol=1e-300)


def _solve(d: Any, log_p: torch.Tensor, left: bool) -> torch.Tensor:
    """A value with about the given tail probability, clear of the ends of the support."""
    from pyroxene.distributions.tails.registry import inverse

    with torch.no_grad():
        rest = torch.log1p(-log_p.exp())
        value = inverse(d, log_p if left else rest, rest if left else log_p)
    middle = d.icdf(tensor(0.5))
    tail = d.log_cdf(value) if left else d.log_survival(value)
    return value if tail.isfinite() and d.log_prob(value).isfinite() else middle


@QUICK
def test_icdf_inverts_the_cdf(row):
    d = row.make()
    p = tensor(PROBABILITIES)
    torch.testing.assert_close(d.cdf(d.icdf(p)), p, rtol=1e-8, atol=1e-10)
    p = p[2:6].clone().requires_grad_()
    (slope,) = torch.autograd.grad(d.icdf(p).sum(), p)
    torch.testing.assert_close(slope, torch.exp(-d.log_prob(d.icdf(p.detach()))), rtol=1e-6, atol=1e-10)


@ALL
def test_samples_fit_the_distribution_function(row):
    """Kolmogorov's test, at a failure rate of 1e-6: its 1 - 1e-6 quantile is 2.7 / sqrt(n)."""
    d = row.make()
    draws = d.sample(torch.Size((4000,))).sort().values
    step = torch.arange(4001) / 4000.0
    cdf = d.cdf(draws)
    assert max((cdf - step[:-1]).abs().max(), (cdf - step[1:]).abs().max()) < 2.7 / 4000**0.5


@QUICK
def test_mode_and_moments(row):
    """Moments as means over quantiles, which are right to 1e-3 of the spread where tails are not heavy."""
    d = row.make(validate_args=False)
    spread = float(d.icdf(tensor(0.9)) - d.icdf(tensor(0.1)))
    if (mode := _closed(d, "mode")) is not None and d.log_prob(mode).isfinite():
        near = mode + 1e-3 * spread * tensor([-1.0, 1.0])
        assert (d.log_prob(near) <= d.log_prob(mode) + 1e-12).all()
    if row.cls in (Levy, Horseshoe, StableWithLogProb, SinhArcsinh):
        return
    closed = row.cls._inverse_cdf is not None
    middle = (torch.arange(2000).double() + 0.5) / 2000
    quantiles = d.icdf(middle) if closed else d.sample(torch.Size((20000,)))
    heavy = row.cls in (HalfStudentT, Dagum, GeneralizedExtremeValue, JohnsonSU, AffineBeta, BetaProportion)
    error = 0.0 if closed else 6 * float(quantiles.std()) / 20000**0.5
    if d.mean.isfinite():
        assert float(quantiles.mean()) == pytest.approx(float(d.mean), rel=0.1 if heavy else 0.02, abs=5e-3 + error)
        if not heavy and row.cls is not Gompertz and d.variance.isfinite():
            assert float(quantiles.var()) == pytest.approx(float(d.variance), rel=0.02 if closed else 0.3)
    if (entropy := _closed(d, "entropy")) is not None:
        assert float(-d.log_prob(quantiles).mean()) == pytest.approx(float(entropy), abs=0.01 if closed else 0.08)


def _closed(d: Any, what: str) -> Any:
    try:
        found = getattr(d, what)
        return found() if callable(found) else found
    except NotImplementedError:
        return None


@ALL
def test_gradients_of_log_prob_are_those_of_finite_differences(row):
    parameters = {n: tensor(v) for n, v in row.parameters.items()}
    x = inner_points(row.make())[1:6]
    kinks = row.cls in (Triangular, LogUniform, Interpolated)  # their support moves with them
    names = [n for n in parameters if not (n == "stability" and row.parameters[n] == 2.0)]
    if row.parameters.get("nu") == 0.0:
        names.remove("nu")

    def log_prob(*values: torch.Tensor) -> torch.Tensor:
        return row.cls(**{**parameters, **dict(zip(names, values))}, validate_args=False).log_prob(x)

    values = [parameters[n].clone().requires_grad_() for n in names]
    gradients = torch.autograd.grad(log_prob(*values).sum(), values)
    assert all(g.isfinite().all() for g in gradients)
    if kinks:
        return
    for i, value in enumerate(values):
        step = 1e-5 * max(1.0, float(value.detach().abs()))
        if names[i] == "skew" and abs(float(value.detach())) == 1:
            continue
        moved = [[v.detach() + (sign * step if i == j else 0) for j, v in enumerate(values)] for sign in (-1, 1)]
        difference = (log_prob(*moved[1]) - log_prob(*moved[0])).sum() / (2 * step)
        torch.testing.assert_close(gradients[i], difference, rtol=2e-5, atol=2e-5)


@ALL
def test_gradients_of_samples_move_the_distribution_function_back(row):
    """F(x(theta), theta) is the noise, so its total derivative by each parameter is 0."""
    if row.cls is Horseshoe or row.cls is BetaProportion or row.cls is AffineBeta or row.cls is HalfStudentT:
        pytest.skip("composed of torch's samplers, whose gradients are conditional on further noise")
    if row.cls in (SkewNormal, ExGaussian, Rice, SoftAsymmetricLaplace, StableWithLogProb, GeneralizedNormal):
        pytest.skip("composed of several noises")
    if row.cls in (AsymmetricLaplace, AsymmetricLaplaceQuantile):
        pytest.skip("composed of several noises")
    parameters = {n: tensor(v).requires_grad_() for n, v in row.parameters.items()}
    d = row.cls(**parameters, validate_args=False)
    x = d.rsample(torch.Size((50,)))
    total = d.log_cdf(x).clamp(min=-30).exp()
    gradients = torch.autograd.grad(total.sum(), list(parameters.values()), allow_unused=True)
    assert all(g is None or g.abs().max() < 1e-6 for g in gradients)


@QUICK
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
def test_dtypes_and_precision(row, dtype):
    d = row.make(dtype)
    x = d.sample(torch.Size((20,)))
    assert x.dtype == d.log_prob(x).dtype == d.log_cdf(x).dtype == d.log_survival(x).dtype == dtype
    assert d.icdf(torch.tensor(0.3, dtype=dtype)).dtype == dtype
    wide = {n: torch.tensor(v, dtype=torch.float32).double() for n, v in row.parameters.items()}
    if dtype == torch.float32:
        expected = row.cls(**wide, validate_args=False).log_prob(x.double())
        torch.testing.assert_close(d.log_prob(x).double(), expected, rtol=1e-4, atol=1e-4)


@ALL
def test_shapes_copies_and_vmap(row):
    d = row.make()
    big = d.expand((3, 2))
    assert type(big) is row.cls and big.batch_shape == (3, 2) and big().shape == (3, 2)
    x = d.sample(torch.Size((3, 2)))
    torch.testing.assert_close(big.log_prob(x), d.log_prob(x))
    for twin in (copy.deepcopy(d), pickle.loads(pickle.dumps(d))):
        assert torch.equal(twin.log_prob(x), d.log_prob(x))
    with_batch = {n: torch.stack([tensor(v)] * 4) for n, v in row.parameters.items()}

    def one(parameters, value):
        return row.cls(**parameters, validate_args=False).log_prob(value)

    got = torch.vmap(one)(with_batch, d.sample(torch.Size((4,))))
    assert got.shape == (4,) and got.isfinite().all()
    assert d.support.check(x).all()


@ALL
def test_outside_of_the_support_and_of_the_constraints(row):
    d = row.make(validate_args=True)
    low, high = (getattr(d.support, end, None) for end in ("lower_bound", "upper_bound"))
    for end, outside, cdf in ((low, -1.0, 0.0), (high, 1.0, 1.0)):
        if end is not None:
            x = torch.as_tensor(end, dtype=torch.float64) + outside
            with pytest.raises(SupportError):
                d.log_prob(x)
            assert row.make(validate_args=False).log_prob(x) == -torch.inf
            assert d.cdf(x) == cdf
    if "scale" in row.parameters:
        with pytest.raises(ParameterError, match="scale"):
            row.cls(**{**row.parameters, "scale": -1.0}, validate_args=True)


@pytest.mark.parametrize(("a", "b"), [(1e-3, 2.0), (0.5, 1e9), (7.9, 8.1), (3e5, 2e5), (30.0, 0.5)])
def test_log_beta_does_not_cancel(a, b):
    expected = float(mpmath.log(mpmath.beta(mpmath.mpf(a), mpmath.mpf(b))))
    assert float(log_beta(tensor(a), tensor(b))) == pytest.approx(expected, rel=1e-13, abs=1e-13)


@pytest.mark.parametrize(("a", "b"), [(1.5, 0.5), (0.7, 0.5), (1.0, 0.5)])
@pytest.mark.parametrize(("coords", "scipys"), [("S0", "S0"), ("S", "S1")])
def test_stable_is_scipys_in_both_coordinates(a, b, coords, scipys):
    d, reference = StableWithLogProb(*map(tensor, (a, b, 2.0, 0.3)), coords=coords), st.levy_stable
    before, reference.parameterization = reference.parameterization, scipys
    try:
        expected = reference.pdf(1.2, a, b, 0.3, 2.0), reference.cdf(1.2, a, b, 0.3, 2.0)
    finally:
        reference.parameterization = before
    x = tensor(1.2)
    assert (float(d.log_prob(x).exp()), float(d.cdf(x))) == pytest.approx(expected, rel=1e-9)


def test_flat_is_improper():
    x = torch.tensor([-1.0, 2.0])
    assert Flat((2,)).log_prob(x).tolist() == [0.0, 0.0] and HalfFlat((2,)).log_prob(x).tolist() == [-torch.inf, 0.0]
    assert type(HalfFlat().expand((3,))) is HalfFlat
    with pytest.raises(CannotSampleError):
        Flat().sample()


def test_mistakes():
    with pytest.raises(UsageError, match="coords"):
        Stable(1.5, 0.0, coords="S1")
    with pytest.raises(UnsupportedError, match="StableWithLogProb"):
        Stable(1.5, 0.0).log_prob(torch.tensor(0.0))
    with pytest.raises(ShapeError, match="number of points"):
        Interpolated(torch.zeros(3), torch.zeros(4))
    with pytest.raises(ParameterError, match="out of order"):
        Triangular(0.0, 1.0, 2.0, validate_args=True)
    with pytest.raises(ParameterError, match="out of order"):
        LogUniform(2.0, 1.0, validate_args=True)
