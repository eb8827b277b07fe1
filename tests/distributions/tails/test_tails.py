"""Distribution functions of torch's classes: logs far in both tails, quantiles, what a class lacks."""

from __future__ import annotations

import mpmath as mp
import numpy as np
import pytest
import scipy.stats as st
import torch
import torch.distributions as torchdist

import pyroxene.distributions as dist
from pyroxene.distributions import tails

F64 = torch.float64


def number(value):
    return torch.tensor(value, dtype=F64)


def a(cls, *args, **kwargs):
    """An instance of a class with float64 parameters."""
    return cls(*map(number, args), **{name: number(value) for name, value in kwargs.items()})


LEFT = [1e-30, 1e-3]
CASES = [
    (a(dist.Normal, 0.3, 2.0), st.norm(0.3, 2.0), [-100.0, -5.0, 0.3, 1.0, 70.0]),
    (a(dist.HalfNormal, 2.0), st.halfnorm(scale=2.0), [-1.0, 0.0, *LEFT, 1.0, 5.0, 70.0]),
    (a(dist.LogNormal, 0.3, 2.0), st.lognorm(2.0, scale=np.exp(0.3)), [-1.0, 0.0, *LEFT, 5.0, 1e20]),
    (a(dist.Cauchy, 0.3, 2.0), st.cauchy(0.3, 2.0), [-1e50, -5.0, 0.1, 0.3, 4.0, 1e9]),
    (a(dist.HalfCauchy, 2.0), st.halfcauchy(scale=2.0), [-1.0, 0.0, *LEFT, 4.0, 1e9]),
    (a(dist.Laplace, 0.3, 2.0), st.laplace(0.3, 2.0), [-1e3, -5.0, 0.3, 4.0, 100.0]),
    (a(dist.Uniform, -1.0, 2.0), st.uniform(-1, 3), [-2.0, -1.0, -0.5, 0.0, 1.9, 2.0, 3.0]),
    (a(dist.Exponential, 2.0), st.expon(scale=0.5), [-1.0, 0.0, *LEFT, 1.0, 300.0]),
    (a(dist.Weibull, 2.0, 3.0), st.weibull_min(3.0, scale=2.0), [-1.0, 0.0, *LEFT, 1.0, 10.0]),
    (a(dist.Pareto, 2.0, 3.0), st.pareto(3.0, scale=2.0), [-1.0, 2.0, 2.5, 3.0, 1e5]),
    (a(dist.Gumbel, 2.0, 3.0), st.gumbel_r(2.0, 3.0), [-10.0, 2.0, 3.0, 100.0]),
    (a(dist.Gamma, 2.5, 3.0), st.gamma(2.5, scale=1 / 3), [-1.0, 0.0, *LEFT, 1.0, 10.0, 100.0]),
    (a(dist.Chi2, 2.5), st.chi2(2.5), [-1.0, 0.0, *LEFT, 1.0, 100.0]),
    (a(dist.InverseGamma, 2.5, 3.0), st.invgamma(2.5, scale=3), [-1.0, 0.0, 0.01, 0.1, 1.0, 1e9]),
    (a(dist.Beta, 2.5, 3.0), st.beta(2.5, 3.0), [-1.0, 0.0, *LEFT, 0.4, 0.9, 0.999, 1.0, 2.0]),
    (a(dist.FisherSnedecor, 2.5, 3.0), st.f(2.5, 3.0), [-1.0, 0.0, *LEFT, 1.0, 1e6]),
    (a(dist.StudentT, 2.5, 3.0, 2.0), st.t(2.5, 3.0, 2.0), [-1e10, -10.0, 3.0, 3.001, 4.0, 1e6]),
    (a(dist.Poisson, 2.5), st.poisson(2.5), [-1.0, 0.0, 0.5, 1.0, 4.0, 15.0]),
    (dist.Binomial(10, number(0.3)), st.binom(10, 0.3), [-1.0, 0.0, 0.5, 1.0, 4.0, 9.0, 10.0, 11.0]),
    (a(dist.NegativeBinomial, 10.0, 0.3), st.nbinom(10, 0.7), [-1.0, 0.0, 0.5, 1.0, 9.0, 30.0]),
    (a(dist.Geometric, 0.3), st.geom(0.3, loc=-1), [-1.0, 0.0, 0.5, 1.0, 4.0, 50.0]),
    (a(dist.Bernoulli, 0.3), st.bernoulli(0.3), [-1.0, 0.0, 0.5, 1.0, 2.0]),
    (
        dist.TransformedDistribution(a(dist.Normal, 0.0, 1.0), [torchdist.AffineTransform(number(1.0), number(-2.0))]),
        st.norm(1.0, 2.0),
        [-70.0, 0.0, 3.0, 50.0],
    ),
]
if hasattr(dist, "GeneralizedPareto"):
    CASES += [
        (a(dist.GeneralizedPareto, 1.0, 2.0, 0.3), st.genpareto(0.3, 1.0, 2.0), [0.0, 1.0, 1.1, 5.0, 1e6]),
        (a(dist.GeneralizedPareto, 1.0, 2.0, -0.5), st.genpareto(-0.5, 1.0, 2.0), [0.0, 1.0, 1.1, 4.9, 6.0]),
        (a(dist.GeneralizedPareto, 1.0, 2.0, 0.0), st.genpareto(0.0, 1.0, 2.0), [0.0, 1.0, 1.1, 5.0, 500.0]),
    ]
UNSCIPY = [
    a(dist.ContinuousBernoulli, 0.3),
    a(dist.ContinuousBernoulli, 0.5),
    a(dist.Kumaraswamy, 2.0, 3.0),
    dist.RelaxedBernoulli(number(0.7), probs=number(0.3)),
    dist.MixtureSameFamily(dist.Categorical(number([0.3, 0.7])), dist.Normal(number([-1.0, 2.0]), number([1.0, 0.5]))),
]
SCIPY = pytest.mark.parametrize(("d", "scipys", "values"), CASES, ids=[type(d).__name__ for d, _, _ in CASES])
ALL = [d for d, _, _ in CASES] + UNSCIPY


def named(d):
    return type(d).__name__


@SCIPY
def test_logs_are_scipys(d, scipys, values):
    with np.errstate(all="ignore"):
        below, above = scipys.logcdf(values), scipys.logsf(values)
        below = np.where(above < -1, np.log1p(-np.exp(above)), below)  # scipy's discrete classes have log(cdf)
    torch.testing.assert_close(tails.log_cdf(d, number(values)), torch.as_tensor(below), rtol=1e-10, atol=0)
    torch.testing.assert_close(tails.log_survival(d, number(values)), torch.as_tensor(above), rtol=1e-10, atol=0)


@pytest.mark.parametrize("d", UNSCIPY, ids=named)
def test_logs_are_integrals_of_the_density(d):
    start, end = (-8.0, 0.5) if isinstance(d, dist.MixtureSameFamily) else (0.1, 0.6)
    nodes, weights = map(torch.as_tensor, np.polynomial.legendre.leggauss(60))
    value = (start + end) / 2 + (end - start) / 2 * nodes
    mass = (d.log_prob(value).exp() * weights).sum() * (end - start) / 2
    low, high = number(start), number(end)
    torch.testing.assert_close(tails.cdf(d, high) - tails.cdf(d, low), mass, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(tails.log_cdf(d, high).exp() + tails.log_survival(d, high).exp(), number(1.0))


def test_far_tails_against_mpmath():
    with mp.workdps(40):
        t = mp.mpf(1e12)
        student = mp.log(mp.betainc(1.5, 0.5, 0, 3 / (3 + t * t), regularized=True) / 2)
        chi = mp.log(mp.gammainc(1.5, 2500, mp.inf, regularized=True))
        poisson = mp.log(mp.gammainc(301, 0, 3, regularized=True))
        kumaraswamy = mp.log(1 - (1 - mp.mpf(1e-200) ** 3) ** 2)
    for got, expected in [
        (tails.log_survival(a(dist.StudentT, 3.0, 0.0, 1.0), number(1e12)), student),
        (tails.log_survival(a(dist.Chi2, 3.0), number(5000.0)), chi),
        (tails.log_survival(a(dist.Poisson, 3.0), number(300.0)), poisson),
        (tails.log_cdf(a(dist.Kumaraswamy, 3.0, 2.0), number(1e-200)), mp.log(2) + 3 * mp.log(mp.mpf(1e-200))),
    ]:
        assert abs(float(got) - expected) <= 1e-11 * abs(expected)
    assert kumaraswamy == -mp.inf or kumaraswamy < 0  # 40 digits are too few for the direct formula


@pytest.mark.parametrize("d", ALL, ids=named)
def test_quantiles_undo_the_distribution_function(d):
    p = number([1e-8, 0.01, 0.3, 0.5, 0.8, 0.999])
    value = tails.icdf(d, p)
    if d.support.is_discrete:
        assert (tails.cdf(d, value) >= p * (1 - 1e-12)).all()
        assert (tails.cdf(d, value - 1) < p).all()
    else:
        error = (tails.cdf(d, value) - p).abs() / torch.minimum(p, 1 - p)
        # where the support does not begin at 0, the precision of the value limits a small p
        assert error.max() < 2e-8 and error[1:].max() < 1e-11


@pytest.mark.parametrize(
    "d",
    [a(dist.Normal, 0.0, 1.0), a(dist.Gamma, 2.5, 1.0), a(dist.Gamma, 300.0, 1.0), a(dist.Laplace, 0.0, 1.0)],
    ids=named,
)
@pytest.mark.parametrize("log_tail", [-1e4, -700.0, -30.0])
def test_inverse_beyond_the_range_of_floats(d, log_tail):
    small, rest = number(log_tail), -number(log_tail).exp()
    torch.testing.assert_close(tails.log_survival(d, tails.inverse(d, rest, small)), small, rtol=1e-11, atol=0)
    if not isinstance(d, dist.Gamma) or log_tail > -1e3:
        torch.testing.assert_close(tails.log_cdf(d, tails.inverse(d, small, rest)), small, rtol=1e-10, atol=0)


@pytest.mark.parametrize(
    "cls",
    [dist.Normal, dist.Gamma, dist.Beta, dist.Weibull, dist.Gumbel, dist.Cauchy, dist.LogNormal, dist.InverseGamma],
)
def test_gradients(cls):
    names = list(cls.arg_constraints)

    def functions(first, second, value):
        d = cls(**dict(zip(names, (first, second))))
        return tails.log_cdf(d, value), tails.log_survival(d, value), tails.icdf(d, torch.sigmoid(value))

    leaves = [number(1.3).requires_grad_(), number(2.1).requires_grad_(), number([0.35, 0.6]).requires_grad_()]
    assert torch.autograd.gradcheck(functions, leaves, eps=1e-6, atol=1e-6, rtol=1e-6)


@SCIPY
def test_gradients_with_respect_to_values_are_never_nan(d, scipys, values):
    value = number(values).requires_grad_()
    for function in (tails.log_cdf, tails.log_survival):
        log = function(d, value)
        if log.requires_grad:
            (gradient,) = torch.autograd.grad(log[log.isfinite()].sum(), value)
            assert not gradient.isnan().any()


def test_logs_within_vmap():
    values = torch.linspace(-3, 3, 6, dtype=F64)
    d = a(dist.Normal, 0.2, 1.5)
    inside = torch.vmap(lambda value: tails.log_cdf(d, value))(values)
    torch.testing.assert_close(inside, tails.log_cdf(d, values), rtol=1e-13, atol=0)


def test_entropy_and_mode_that_torch_lacks():
    for d, scipys in [
        (a(dist.InverseGamma, 2.5, 3.0), st.invgamma(2.5, scale=3.0)),
        (a(dist.FisherSnedecor, 2.5, 3.0), st.f(2.5, 3.0)),
    ]:
        torch.testing.assert_close(tails.entropy(d), number(float(scipys.entropy())), rtol=1e-6, atol=0)
    torch.testing.assert_close(tails.mode(a(dist.InverseGamma, 2.5, 3.0)), number(3 / 3.5))
    with pytest.raises(NotImplementedError, match="no entropy"):
        tails.entropy(a(dist.Poisson, 2.0))


def test_a_class_is_completed_with_what_it_lacks():
    class Completed(torchdist.Gamma):
        def icdf(self, value):
            return value

    tails.complete(Completed)
    d = Completed(number(2.0), number(1.0))
    torch.testing.assert_close(d.log_cdf(number(1.0)), number(float(st.gamma(2.0).logcdf(1.0))))
    torch.testing.assert_close(d.log_survival(number(1.0)), number(float(st.gamma(2.0).logsf(1.0))))
    assert d.icdf(3) == 3 and Completed.mode is torchdist.Gamma.mode
    with pytest.raises(NotImplementedError, match="no distribution function"):
        tails.log_cdf(dist.MultivariateNormal(torch.zeros(2), torch.eye(2)), torch.zeros(2))


def test_probability_of_an_interval():
    d = a(dist.Normal, 0.0, 1.0)
    with mp.workdps(50):
        for low, high in [(20.0, 21.0), (-21.0, -20.0), (-1.0, 2.0), (0.1, 0.2), (-50.0, 50.0), (-np.inf, 0.0)]:
            exact = mp.log((mp.erf(mp.mpf(high) / mp.sqrt(2)) - mp.erf(mp.mpf(low) / mp.sqrt(2))) / 2)
            if abs(low) == 20 or abs(high) == 20:
                ends = sorted((abs(low), abs(high)))
                exact = mp.log((mp.erfc(ends[0] / mp.sqrt(2)) - mp.erfc(ends[1] / mp.sqrt(2))) / 2)
            got = float(tails.log_between(d, number(low), number(high)))
            assert abs(got - exact) <= 1e-12 * max(abs(exact), mp.mpf(1))


def test_gradient_of_the_normal_far_out():
    for dtype, tolerance in [(F64, 1e-13), (torch.float32, 1e-5)]:
        z = torch.tensor([-1e12, -1e6, -1e3, -40.0, -3.0, -0.5, 2.0, 9.0], dtype=dtype, requires_grad=True)
        (got,) = torch.autograd.grad(tails.log_ndtr(z).sum(), z)
        with mp.workdps(40):
            exact = [mp.npdf(x) / mp.ncdf(x) if x > -1e4 else -x + 1 / mp.mpf(-x) for x in map(mp.mpf, z.tolist())]
        torch.testing.assert_close(got, torch.tensor([float(x) for x in exact], dtype=dtype), rtol=tolerance, atol=0)
