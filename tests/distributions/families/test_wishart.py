"""Wishart and inverse Wishart distributions and their factors against scipy, each other and draws."""

from __future__ import annotations

import pytest
import scipy.stats as st
import torch
import torch.distributions as torchdist

from pyroxene.distributions.families.wishart import InverseWishart, InverseWishartCholesky, WishartCholesky
from pyroxene.distributions.transforms import CholeskyTransform
from pyroxene.errors import ParameterError, ShapeError

F64 = torch.float64
EXACT = {"rtol": 1e-10, "atol": 1e-10}
SCALE = torch.tensor([[2.0, 0.3, -0.4], [0.3, 1.0, 0.2], [-0.4, 0.2, 1.5]], dtype=F64)
COUNTS = [2.2, 4.5, 300.0]
DRAWS = 40_000


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(20260101)


def log_jacobian(factor):
    """Of A A^T in A, by the transform's."""
    return -CholeskyTransform().log_abs_det_jacobian(factor @ factor.mT, factor)


def values():
    """Positive-definite matrices, ordinary, large and small."""
    factor = torch.randn(6, 3, 3, dtype=F64)
    power = torch.tensor([1.0, 1.0, 1.0, 1e3, 1e-3, 1e6], dtype=F64)[:, None, None]
    return (factor @ factor.mT + 0.1 * torch.eye(3, dtype=F64)) * power


@pytest.mark.parametrize("count", COUNTS)
def test_inverse_wishart_is_scipys(count):
    d, value = InverseWishart(count, SCALE), values()
    expected = [st.invwishart(count, SCALE.numpy()).logpdf(each.numpy()) for each in value]
    torch.testing.assert_close(d.log_prob(value), torch.tensor(expected, dtype=F64), **EXACT)


@pytest.mark.parametrize("count", COUNTS)
def test_factors_have_the_density_of_their_squares(count):
    factor = torch.linalg.cholesky(values())
    square = factor @ factor.mT
    wishart = torch.tensor([st.wishart(count, SCALE.numpy()).logpdf(each.numpy()) for each in square], dtype=F64)
    got = WishartCholesky(count, SCALE).log_prob(factor)
    torch.testing.assert_close(got, wishart + log_jacobian(factor), **EXACT)
    got = InverseWishartCholesky(count, SCALE).log_prob(factor)
    torch.testing.assert_close(got, InverseWishart(count, SCALE).log_prob(square) + log_jacobian(factor), **EXACT)


def test_values_of_numpyro():
    """Those of numpyro 0.22.0 for concentration 4.5 and two rows."""
    scale = torch.tensor([[2.0, 0.3], [0.3, 1.0]], dtype=F64)
    value = torch.tensor([[1.5, -0.2], [-0.2, 0.8]], dtype=F64)
    factor = torch.linalg.cholesky(value)
    assert InverseWishart(4.5, scale).log_prob(value).item() == pytest.approx(-4.220521608360937)
    assert InverseWishart(4.5, rate_matrix=scale).log_prob(value).item() == pytest.approx(-6.575029978090148)
    assert InverseWishartCholesky(4.5, scale).log_prob(factor).item() == pytest.approx(-2.557284690627828)
    assert WishartCholesky(4.5, scale).log_prob(factor).item() == pytest.approx(-4.256360159549039)
    assert WishartCholesky(4.5, rate_matrix=scale).log_prob(factor).item() == pytest.approx(-2.3414636331128404)


@pytest.mark.parametrize("cls", [InverseWishart, InverseWishartCholesky, WishartCholesky])
def test_the_three_ways_to_give_a_scale_are_one(cls):
    value = torch.linalg.cholesky(values()) if cls is not InverseWishart else values()
    ways = [
        cls(5.0, scale_matrix=SCALE),
        cls(5.0, rate_matrix=torch.linalg.inv(SCALE)),
        cls(5.0, scale_tril=torch.linalg.cholesky(SCALE)),
    ]
    for d in ways:
        torch.testing.assert_close(d.log_prob(value), ways[0].log_prob(value), rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(d.scale_matrix, SCALE)
        torch.testing.assert_close(d.scale_tril, torch.linalg.cholesky(SCALE))
        torch.testing.assert_close(d.rate_matrix, torch.linalg.inv(SCALE))


@pytest.mark.parametrize("cls", [InverseWishart, InverseWishartCholesky, WishartCholesky])
def test_draws_have_the_moments(cls):
    """Within 6.5 standard errors; 14 degrees of freedom leave the fourth moments of an inverse finite."""
    d = cls(torch.tensor(14.0, dtype=F64), SCALE)
    draws = d.sample((DRAWS,))
    assert d.support.check(draws[:100]).all()
    assert ((draws.mean(0) - d.mean).abs() <= 6.5 * draws.std(0) / DRAWS**0.5 + 1e-12).all()
    squares = (draws - d.mean).square()
    assert ((squares.mean(0) - d.variance).abs() <= 6.5 * squares.std(0) / DRAWS**0.5 + 1e-12).all()


@pytest.mark.parametrize("cls", [InverseWishart, InverseWishartCholesky, WishartCholesky])
def test_determinants_of_draws_are_products_of_chi_squared(cls):
    """log det of a Wishart matrix is that of the scale plus logs of chi-squared variables; both ends of its mean."""
    count, size = 3.5, 3
    d = cls(torch.tensor(count, dtype=F64), SCALE)
    draws = d.sample((DRAWS,))
    log_det = torch.logdet(draws) if cls is InverseWishart else 2 * draws.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    half = (count - torch.arange(size, dtype=F64)) / 2
    sign = 1 if cls is WishartCholesky else -1
    expected = torch.logdet(SCALE) + sign * (torch.digamma(half) + torch.log(torch.tensor(2.0, dtype=F64))).sum()
    error = (torch.polygamma(1, half).sum() / DRAWS).sqrt()
    assert (log_det.mean() - expected).abs() <= 6 * error


def test_the_inverse_of_a_draw_is_of_the_wishart_distribution():
    """An entry on the diagonal of X^-1 is a scaled chi-squared variable: Kolmogorov-Smirnov at 1e-6."""
    draws = InverseWishart(torch.tensor(5.0, dtype=F64), SCALE).sample((5000,))
    entry = torch.linalg.inv(draws)[:, 1, 1] / torch.linalg.inv(SCALE)[1, 1]
    assert st.kstest(entry.numpy(), st.chi2(5.0).cdf).pvalue > 1e-6


@pytest.mark.parametrize("cls", [InverseWishart, InverseWishartCholesky, WishartCholesky])
def test_gradients(cls):
    factor = torch.linalg.cholesky(SCALE).requires_grad_()
    count = torch.tensor(5.0, dtype=F64, requires_grad=True)
    base = torch.linalg.cholesky(values()[0])

    def density(count, factor, base):
        value = base.tril() @ base.tril().mT if cls is InverseWishart else base.tril()
        return cls(count, scale_tril=factor.tril()).log_prob(value)

    assert torch.autograd.gradcheck(density, (count, factor, base.requires_grad_()))
    torch.manual_seed(0)
    cls(count, scale_tril=factor).rsample((3,)).sum().backward()
    assert count.grad.isfinite() and factor.grad.isfinite().all() and count.grad != 0


def test_mean_and_mode_of_the_inverse_wishart():
    d = InverseWishart(torch.tensor([3.5, 4.5, 8.0], dtype=F64), SCALE)
    assert d.mean[0].isnan().all() and d.variance[1].isnan().all()
    torch.testing.assert_close(d.mean[1], SCALE / 0.5)
    frozen = st.invwishart(8, SCALE.numpy())
    torch.testing.assert_close(d.mean[2], torch.tensor(frozen.mean()))
    torch.testing.assert_close(d.variance[2], torch.tensor(frozen.var()))
    assert (d.log_prob(d.mode) > d.log_prob(d.mode * 1.01)).all()
    assert (d.log_prob(d.mode) > d.log_prob(d.mode * 0.99)).all()


def test_the_wishart_factor_is_of_torchs_wishart():
    d = WishartCholesky(torch.tensor(6.0, dtype=F64), SCALE)
    factor = d.sample((4,))
    torchs = torchdist.Wishart(torch.tensor(6.0, dtype=F64), SCALE).log_prob(factor @ factor.mT)
    torch.testing.assert_close(d.log_prob(factor) - log_jacobian(factor), torchs, **EXACT)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"concentration": 2.0, "scale_matrix": SCALE}, ParameterError, "concentration"),
        ({"concentration": -2.0, "scale_matrix": SCALE}, ParameterError, "concentration"),
        ({"concentration": 4.0}, ParameterError, "exactly one"),
        ({"concentration": 4.0, "scale_matrix": SCALE, "scale_tril": SCALE}, ParameterError, "exactly one"),
        ({"concentration": 4.0, "scale_matrix": -SCALE}, ParameterError, "scale_matrix"),
        ({"concentration": 4.0, "scale_tril": SCALE}, ParameterError, "scale_tril"),
        ({"concentration": 4.0, "scale_matrix": SCALE[:2]}, ShapeError, "not square"),
    ],
)
def test_refusals(arguments, error, words):
    for cls in (InverseWishart, InverseWishartCholesky, WishartCholesky):
        with pytest.raises(error, match=words):
            cls(**arguments)
