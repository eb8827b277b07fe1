"""Logs of incomplete gamma and beta functions against mpmath, in and out of the range of floats."""

from __future__ import annotations

import mpmath as mp
import pytest
import torch

from pyroxene.distributions.tails import log_betainc, log_gammainc, log_gammaincc


def lower(a, x):
    rest = mp.gammainc(a, x, mp.inf, regularized=True)
    return mp.log1p(-rest) if rest < 0.5 else mp.log(mp.gammainc(a, 0, x, regularized=True))


def upper(a, x):
    rest = mp.gammainc(a, 0, x, regularized=True)
    return mp.log1p(-rest) if rest < 0.5 else mp.log(mp.gammainc(a, x, mp.inf, regularized=True))


def beta(a, b, x):
    return mp.log(mp.betainc(a, b, 0, x, regularized=True))


GAMMAS = [(a, a * r) for a in (1e-3, 0.3, 2.5, 40.0, 1e4) for r in (1e-20, 1e-3, 0.3, 0.95, 1.0, 1.2, 3.0)]
LARGE = [(a, a * r) for a in (0.3, 2.5, 40.0, 1e4) for r in (50.0, 1e4)]
BETAS = [(a, b, x) for a in (0.01, 0.5, 30.0, 1e3) for b in (0.5, 2.0, 30.0) for x in (1e-300, 1e-5, 0.4)]
CASES = [
    *((log_gammainc, lower, each) for each in GAMMAS),
    *((log_gammaincc, upper, each) for each in GAMMAS + LARGE),
    *((log_betainc, beta, each) for each in BETAS),
    (log_betainc, beta, (1e3, 1e3, 0.1)),
    (log_betainc, beta, (2.0, 500.0, 0.02)),
]


@pytest.mark.parametrize(("function", "exact", "arguments"), CASES)
def test_values(function, exact, arguments):
    with mp.workdps(50):
        expected = exact(*map(mp.mpf, arguments))
    got = float(function(*(torch.tensor(value, dtype=torch.float64) for value in arguments)))
    assert abs(got - expected) <= 1e-11 * abs(expected) + 1e-300  # what is less is 0 in float64


@pytest.mark.parametrize(
    ("function", "exact", "arguments"),
    [
        (log_gammainc, lower, (2.3, 1.7)),
        (log_gammainc, lower, (300.0, 5.0)),
        (log_gammaincc, upper, (2.3, 40.0)),
        (log_gammaincc, upper, (400.0, 420.0)),
        (log_gammaincc, upper, (3.0, 2000.0)),
        (log_betainc, beta, (2.0, 3.0, 0.2)),
        (log_betainc, beta, (200.0, 3.0, 1e-3)),
    ],
)
def test_gradients_are_the_derivatives(function, exact, arguments):
    leaves = [torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in arguments]
    gradients = torch.autograd.grad(function(*leaves), leaves)
    for place, gradient in enumerate(gradients):
        order = tuple(int(each == place) for each in range(len(arguments)))
        with mp.workdps(40):
            expected = float(mp.diff(exact, tuple(map(mp.mpf, arguments)), order))
        assert abs(float(gradient) - expected) <= 1e-8 * abs(expected)


def test_dtype_shape_and_vmap():
    a, x = torch.tensor([2.0, 3.0]), torch.tensor([[1.0], [5.0]])
    both = log_gammainc(a, x)
    assert both.dtype == torch.float32 and both.shape == (2, 2)
    torch.testing.assert_close(torch.vmap(lambda x: log_gammainc(a, x))(x), both)


def test_the_complement_reaches_values_that_one_minus_rounds_away():
    two = torch.tensor(2.0, dtype=torch.float64)
    tiny = torch.tensor(1e-30, dtype=torch.float64)
    # I_x(2, 2) = 1 - 3 y^2 + 2 y^3 for y = 1 - x
    torch.testing.assert_close(log_betainc(two, two, 1 - tiny, tiny), -3 * tiny**2, rtol=1e-12, atol=0)
