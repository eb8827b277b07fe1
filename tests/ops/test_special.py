"""Special functions against mpmath, in both precisions, and their gradients."""

from __future__ import annotations

import mpmath as mp
import numpy as np
import pytest
import torch

from pyroxene.ops.bessel import log_bessel_i
from pyroxene.ops.counting import (
    deviance,
    factorial_remainder,
    log_binomial_probability,
    log_negative_binomial_probability,
    log_poisson_probability,
)
from pyroxene.ops.special import (
    get_quad_rule,
    log_beta,
    log_binomial,
    log_I1,
    safe_log,
    sparse_multinomial_likelihood,
)
from pyroxene.ops.zeta import log_zeta

PRECISIONS = pytest.mark.parametrize(
    "dtype, tolerance", [(torch.float64, 1e-13), (torch.float32, 5e-6)], ids=["float64", "float32"]
)
SIZES = (1e-10, 1e-3, 0.5, 1.0, 7.0, 14.99, 15.01, 300.0, 1e8)


def number(x):
    return torch.tensor(float(x), dtype=torch.float64)


def check(function, exact, arguments, dtype, tolerance):
    """Compare a function of tensors with one of mpmath's numbers at the arguments as the dtype rounds them."""
    for each in arguments:
        rounded = [torch.tensor(float(x), dtype=dtype) for x in each]
        with mp.workdps(60):
            expected = float(exact(*(mp.mpf(x.item()) for x in rounded)))
        got = function(*rounded)
        assert got.dtype == dtype
        assert got.item() == pytest.approx(expected, rel=tolerance, abs=tolerance), each


@PRECISIONS
def test_factorial_remainder(dtype, tolerance):
    def exact(x):
        return mp.loggamma(x + 1) - x * mp.log(x) + x

    check(factorial_remainder, exact, [(x,) for x in SIZES], dtype, tolerance)
    assert factorial_remainder(torch.zeros((), dtype=dtype)) == 0


@PRECISIONS
def test_deviance(dtype, tolerance):
    pairs = [(m * (1 + e), m) for m in (1e-3, 1.0, 1e6) for e in (0.0, 1e-6, -1e-3, 0.15, 0.23, -0.9, 100.0)]
    for x, m in pairs:
        x, m = torch.tensor(x, dtype=dtype), torch.tensor(m, dtype=dtype)
        with mp.workdps(40):
            a, b = mp.mpf(x.item()), mp.mpf(m.item())
            expected = float(a * mp.log(a / b) + b - a)
        got = deviance(x, m, m - x)  # exact here: the two are near
        assert got >= 0 and got.item() == pytest.approx(expected, rel=100 * tolerance, abs=0)
    assert deviance(torch.zeros(()), torch.tensor(2.0), torch.tensor(2.0)) == 2.0
    assert deviance(torch.zeros(()), torch.zeros(()), torch.zeros(())) == 0.0


@PRECISIONS
def test_probabilities_of_large_counts(dtype, tolerance):
    count, rate = torch.tensor(1e7, dtype=dtype), torch.tensor(1.0003e7, dtype=dtype)
    half = torch.tensor(0.5, dtype=dtype)
    with mp.workdps(40):
        k, m = mp.mpf(1e7), mp.mpf(rate.item())
        poisson = float(k * mp.log(m) - m - mp.loggamma(k + 1))
        binomial = float(mp.loggamma(2 * k + 1) - 2 * mp.loggamma(k + 1) - 2 * k * mp.log(2))
    assert log_poisson_probability(count, rate).item() == pytest.approx(poisson, rel=tolerance)
    assert log_binomial_probability(count, count, half, half).item() == pytest.approx(binomial, rel=tolerance)
    negative = log_negative_binomial_probability(count, count, half, half)
    assert negative.item() == pytest.approx(binomial + np.log(0.5), rel=tolerance)


@PRECISIONS
def test_log_beta_and_log_binomial(dtype, tolerance):
    pairs = [(x, y) for x in SIZES for y in SIZES]
    check(log_beta, lambda x, y: mp.loggamma(x) + mp.loggamma(y) - mp.loggamma(x + y), pairs, dtype, tolerance)
    choices = [(0, 0), (5, 0), (5, 5), (5, 2), (1e6, 3), (1e6, 5e5), (7.5, 2.25)]
    check(
        log_binomial,
        lambda n, k: mp.loggamma(n + 1) - mp.loggamma(k + 1) - mp.loggamma(n - k + 1),
        choices,
        dtype,
        tolerance,
    )


def test_tolerances_are_kept_and_are_not_idle():
    x, y = torch.meshgrid(*[torch.tensor([0.05, 0.7, 3.0, 50.0], dtype=torch.float64)] * 2, indexing="ij")
    assert 1e-8 < (log_beta(x, y, 0.01) - log_beta(x, y)).abs().max() < 0.01
    n, k = torch.tensor([5.0, 5.0, 90.0]), torch.tensor([0.0, 2.0, 40.0])
    assert 1e-8 < (log_binomial(n, k, 0.02) - log_binomial(n, k)).abs().max() < 0.01


def test_safe_log():
    x = torch.tensor([0.0, 1e-40, 0.5, 2.0], dtype=torch.float64, requires_grad=True)
    y = safe_log(x)
    assert torch.equal(y, x.log())
    gradient = torch.autograd.grad(y[1:].sum() + y[:1].exp().sum(), x)[0]
    largest = 1 / torch.finfo(torch.float64).eps
    assert gradient.tolist() == [0.0, largest, 2.0, 0.5]


def test_bessel_functions_of_any_order():
    for order in (0, 0.5, 3, 31, 33, 200, 1e5):
        for x in (1e-8, 0.3, 8.0, 31.9, 32.1, 500.0, 2e4):
            with mp.workdps(30):
                expected = float(mp.log(mp.besseli(order, x, maxterms=10**6)))
            assert log_bessel_i(number(order), number(x)).item() == pytest.approx(expected, rel=1e-13, abs=1e-13)
    assert log_bessel_i(number(0), number(0)) == 0 and log_bessel_i(number(50), number(0)) == -torch.inf
    x = torch.tensor([0.5, 31.0, 33.0, 400.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: log_bessel_i(torch.full_like(x, 3.0), x), x)


def test_log_I1():
    value = torch.tensor([[0.5, 3.0], [40.0, 1e4]], dtype=torch.float64)
    found = log_I1(4, value)
    assert found.shape == (5, 2, 2) and log_I1(2, value[0, 0]).shape == (3, 1)
    with mp.workdps(30):
        expected = float(mp.log(mp.besseli(4, mp.mpf(1e4), maxterms=10**6)))
    assert found[4, 1, 1].item() == pytest.approx(expected, rel=1e-13)


def test_zeta():
    for s in (1 + 2.0**-20, 1.5, 3.0, 20.0, 90.0):
        for q in (1, 2, 50, 1e6):
            with mp.workdps(40 + int(7 * s)):  # mpmath keeps absolute digits, and the sum is about q^-s
                expected = float(mp.log(mp.zeta(mp.mpf(s), mp.mpf(q))))
            assert log_zeta(number(s), q).item() == pytest.approx(expected, rel=1e-13, abs=1e-15)
    s = torch.tensor([1.1, 2.0, 9.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(log_zeta, s)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_quadrature_integrates_polynomials(dtype):
    points, log_weights = get_quad_rule(6, torch.zeros(1, dtype=dtype))
    assert points.dtype == log_weights.dtype == dtype and points.shape == (6,)
    moments = [(log_weights.exp() * points**k).sum().item() for k in range(12)]
    assert moments == pytest.approx([1, 0, 1, 0, 3, 0, 15, 0, 105, 0, 945, 0], rel=1e-5, abs=1e-3)


def test_sparse_multinomial_likelihood_is_the_dense_one():
    torch.manual_seed(0)
    logits = torch.randn(3, 6, dtype=torch.float64).log_softmax(-1)
    counts = torch.tensor([[0, 2, 0, 1, 0, 0], [5, 0, 0, 0, 0, 1], [0, 0, 0, 0, 0, 0]], dtype=torch.float64)
    used = counts > 0
    sparse = sparse_multinomial_likelihood(counts.sum(-1), logits[used], counts[used])
    dense = sum(
        torch.distributions.Multinomial(logits=row, validate_args=False).log_prob(c) for row, c in zip(logits, counts)
    )
    torch.testing.assert_close(sparse, dense)
