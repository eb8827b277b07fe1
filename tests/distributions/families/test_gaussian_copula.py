"""Gaussian copulas and LKJ covariances: densities by change of variables, draws, refusals."""

from __future__ import annotations

import math

import mpmath
import pytest
import scipy.stats as st
import torch
import torch.distributions as torchdist

import pyroxene.distributions as dist
from pyroxene.distributions.families.gaussian_copula import GaussianCopula, GaussianCopulaBeta
from pyroxene.distributions.families.lkj_covariance import LKJCholeskyCov
from pyroxene.errors import ParameterError, ShapeError

F64 = torch.float64
EXACT = {"rtol": 1e-10, "atol": 1e-10}
R = torch.tensor([[1.0, 0.3, 0.1], [0.3, 1.0, -0.2], [0.1, -0.2, 1.0]], dtype=F64)
A, B = torch.tensor([2.0, 3.0, 1.5], dtype=F64), torch.tensor([1.0, 2.0, 2.5], dtype=F64)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(20260101)


def test_normal_marginals_give_the_normal_distribution_far_into_the_tails():
    loc, scale = torch.tensor([1.0, -1.0, 0.5], dtype=F64), torch.tensor([0.5, 2.0, 1.0], dtype=F64)
    d = GaussianCopula(dist.Normal(loc, scale), R)
    dense = torchdist.MultivariateNormal(loc, R * scale * scale.unsqueeze(-1))
    for power in (1.0, 10.0, 40.0, 1000.0):
        value = power * torch.randn(6, 3, dtype=F64)
        torch.testing.assert_close(d.log_prob(value), dense.log_prob(value), rtol=1e-9, atol=1e-9)


def test_exponential_tails_by_mpmath():
    d = GaussianCopula(dist.Exponential(torch.ones(2, dtype=F64)), R[:2, :2])
    for value in ([0.5, 2.0], [1e-12, 40.0], [700.0, 1e-3], [60.0, 61.0]):
        with mpmath.workdps(400):
            scores = [mpmath.sqrt(2) * mpmath.erfinv(1 - 2 * mpmath.exp(-mpmath.mpf(x))) for x in value]
            r = mpmath.mpf(R[0, 1].item())
            a, b = scores
            tie = -(r * r * (a * a + b * b) - 2 * r * a * b) / (2 * (1 - r * r)) - mpmath.log(1 - r * r) / 2
            expected = float(tie - mpmath.mpf(value[0]) - mpmath.mpf(value[1]))
        assert d.log_prob(torch.tensor(value, dtype=F64)).item() == pytest.approx(expected, rel=1e-10)


def test_values_of_numpyro():
    """That of numpyro 0.22.0, for both classes."""
    value = torch.tensor([0.2, 0.5, 0.7], dtype=F64)
    for d in (GaussianCopula(dist.Beta(A, B), R), GaussianCopulaBeta(A, B, R)):
        assert d.log_prob(value).item() == pytest.approx(-1.017106305601129, abs=1e-10)
        torch.testing.assert_close(d.mean, A / (A + B))
        torch.testing.assert_close(d.variance, dist.Beta(A, B).variance)


def test_a_factor_serves_as_well_as_a_matrix():
    matrix, factor = (
        GaussianCopulaBeta(A, B, R),
        GaussianCopulaBeta(A, B, correlation_cholesky=torch.linalg.cholesky(R)),
    )
    value = matrix.sample((5,))
    torch.testing.assert_close(factor.log_prob(value), matrix.log_prob(value), **EXACT)
    torch.testing.assert_close(factor.correlation_matrix, R)


def test_draws_have_the_marginals_and_the_rank_correlation():
    """Kolmogorov-Smirnov at 1e-6 for each margin; Spearman's rho within 6 of its errors, 1 / sqrt(n) at most."""
    draws = GaussianCopulaBeta(A, B, R).sample((10_000,))
    for place in range(3):
        assert st.kstest(draws[:, place].numpy(), st.beta(A[place], B[place]).cdf).pvalue > 1e-6
    rho = torch.as_tensor(st.spearmanr(draws.numpy()).statistic)
    assert ((rho - 6 / math.pi * torch.asin(R / 2)).abs() <= 6 / 100).all()


def test_gradients_of_density_and_draws():
    rate = torch.tensor([0.7, 1.3, 2.0], dtype=F64, requires_grad=True)
    factor = torch.linalg.cholesky(R).requires_grad_()
    value = torch.tensor([0.3, 5.0, 0.1], dtype=F64, requires_grad=True)

    def density(rate, factor, value):
        return GaussianCopula(dist.Exponential(rate), correlation_cholesky=factor.tril(), validate_args=False).log_prob(
            value
        )

    def draw(rate, factor):
        torch.manual_seed(0)
        return GaussianCopula(dist.Exponential(rate), correlation_cholesky=factor.tril(), validate_args=False).rsample()

    assert torch.autograd.gradcheck(density, (rate, factor, value))
    assert torch.autograd.gradcheck(draw, (rate, factor))


def test_density_and_gradient_are_finite_at_the_edge():
    value = torch.tensor([0.0, 1.0], dtype=F64, requires_grad=True)
    density = GaussianCopula(dist.Exponential(torch.ones(2, dtype=F64)), R[:2, :2]).log_prob(value)
    density.backward()
    assert density.isfinite() and value.grad.isfinite().all()


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: GaussianCopula(dist.Poisson(torch.ones(2)), torch.eye(2)), ParameterError, "continuous"),
        (lambda: GaussianCopula(dist.Normal(torch.ones(2), 1.0).to_event(1), torch.eye(2)), ParameterError, "event"),
        (lambda: GaussianCopula(dist.Normal(torch.ones(2), 1.0)), ParameterError, "exactly one"),
        (lambda: GaussianCopula(dist.Normal(torch.ones(2), 1.0), torch.eye(3)), ShapeError, "not of one size"),
        (lambda: GaussianCopula(dist.Normal(0.0, 1.0), torch.eye(1)), ShapeError, "not of one size"),
        (lambda: GaussianCopula(dist.Normal(torch.ones(2), 1.0), 2 * torch.eye(2)), ParameterError, "correlation_m"),
        (lambda: GaussianCopulaBeta(-torch.ones(2), torch.ones(2), torch.eye(2)), ParameterError, "concentration1"),
        (lambda: LKJCholeskyCov(1.0, 1, dist.Exponential(1.0)), ParameterError, "two rows"),
        (lambda: LKJCholeskyCov(-1.0, 2, dist.Exponential(1.0)), ParameterError, "eta"),
        (lambda: LKJCholeskyCov(1.0, 2, dist.Exponential(torch.ones(3)).to_event(1)), ShapeError, "sd_dist"),
    ],
)
def test_refusals(make, error, words):
    with pytest.raises(error, match=words):
        make()


@pytest.mark.parametrize(
    "deviations",
    [
        dist.HalfNormal(torch.tensor(2.0, dtype=F64)),
        dist.Gamma(torch.tensor([2.0, 3.0, 4.0], dtype=F64), torch.tensor(1.0, dtype=F64)).to_event(1),
    ],
    ids=["shared", "each"],
)
def test_covariance_density_is_that_of_its_parts(deviations):
    """The Jacobian of (scales, correlations below the diagonal) in the triangle of L, by automatic differentiation."""
    d = LKJCholeskyCov(torch.tensor(1.7, dtype=F64), 3, deviations)
    below, inside = torch.tril_indices(3, 3, -1), torch.tril_indices(3, 3)
    for value in d.sample((4,)):
        scales = value.norm(dim=-1)
        factor = value / scales.unsqueeze(-1)

        def parts(entries):
            tril = torch.zeros(3, 3, dtype=F64).index_put((inside[0], inside[1]), entries)
            s = tril.norm(dim=-1)
            return torch.cat([s, (tril / s.unsqueeze(-1))[below[0], below[1]]])

        jacobian = torch.autograd.functional.jacobian(parts, value[inside[0], inside[1]])
        expected = dist.LKJCholesky(3, torch.tensor(1.7, dtype=F64)).log_prob(factor)
        expected = expected + deviations.log_prob(scales).sum() + torch.linalg.slogdet(jacobian).logabsdet
        torch.testing.assert_close(d.log_prob(value), expected, **EXACT)


def test_covariance_draws_have_the_scales_and_correlations():
    """Kolmogorov-Smirnov at 1e-6: scales of the prior, (r + 1) / 2 of Beta(b, b) with b = eta + (n - 2) / 2."""
    draws = LKJCholeskyCov(torch.tensor(1.5, dtype=F64), 3, dist.Exponential(torch.tensor(2.0, dtype=F64))).sample(
        (5000,)
    )
    scales = draws.norm(dim=-1)
    correlation = draws[:, 2] * draws[:, 1]
    r = correlation.sum(-1) / scales[:, 1] / scales[:, 2]
    assert st.kstest(scales[:, 2].numpy(), st.expon(scale=0.5).cdf).pvalue > 1e-6
    assert st.kstest(((r + 1) / 2).numpy(), st.beta(2.0, 2.0).cdf).pvalue > 1e-6
