"""The Dirichlet-multinomial distribution: probabilities against mpmath, dense and sparse; samples by their margins."""

from __future__ import annotations

import itertools
import math

import mpmath as mp
import pytest
import scipy.stats
import torch

from pyroxene.distributions.families.conjugate import BetaBinomial, DirichletMultinomial
from pyroxene.errors import SupportError, UnsupportedError


def exact(counts, concentration):
    with mp.workdps(60):
        k, a = [mp.mpf(x) for x in counts], [mp.mpf(x) for x in concentration]
        n, s = mp.fsum(k), mp.fsum(a)
        total = mp.loggamma(n + 1) + mp.loggamma(s) - mp.loggamma(n + s)
        terms = [mp.loggamma(x + y) - mp.loggamma(x + 1) - mp.loggamma(y) for x, y in zip(k, a)]
        return float(total + mp.fsum(terms))


@pytest.mark.parametrize("is_sparse", [False, True])
@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-10), (torch.float32, 2e-5)], ids=["64", "32"])
@pytest.mark.parametrize(
    "counts, concentration",
    [
        ((0, 3, 2), (0.5, 1.5, 2.5)),
        ((0, 0, 0), (0.5, 1.5, 2.5)),
        ((7, 0, 0), (1e-5, 2.0, 3.0)),
        ((1e6, 2e6, 0), (3.0, 0.1, 2e-3)),
        ((40, 30, 30), (4e6, 3e6, 3e6)),
    ],
)
def test_log_probabilities_are_exact(counts, concentration, dtype, tolerance, is_sparse):
    weights = torch.tensor(concentration, dtype=dtype)
    d = DirichletMultinomial(weights, int(sum(counts)), is_sparse=is_sparse)
    if is_sparse and dtype is torch.float32 and max(concentration) > 1e6:
        tolerance = 2e-3  # the sparse form sums terms of the size of the counts' logarithms
    expected = exact(counts, weights.tolist())
    assert d.log_prob(torch.tensor(counts, dtype=dtype)).item() == pytest.approx(expected, rel=tolerance, abs=tolerance)


def test_probabilities_sum_to_one_and_moments_are_those_of_the_sum():
    d = DirichletMultinomial(torch.tensor([0.4, 1.5, 2.0], dtype=torch.float64), 5)
    values = torch.tensor([v for v in itertools.product(range(6), repeat=3) if sum(v) == 5])
    probs = d.log_prob(values).exp()
    torch.testing.assert_close(probs.sum().item(), 1.0)
    mean = probs @ values.double()
    torch.testing.assert_close(d.mean, mean)
    torch.testing.assert_close(d.variance, probs @ (values - mean) ** 2)


def test_margins_of_samples_are_beta_binomial():
    """A chi-squared test at a failure rate of 1e-6."""
    torch.manual_seed(0)
    weights = torch.tensor([0.8, 1.5, 2.0], dtype=torch.float64)
    samples = DirichletMultinomial(weights, 6).sample((5000,))
    assert torch.equal(samples.sum(-1), torch.full((5000,), 6.0, dtype=torch.float64))
    margin = BetaBinomial(weights[0], weights[1:].sum(), 6)
    expected = margin.log_prob(margin.enumerate_support()).exp() * 5000
    observed = torch.stack([(samples[:, 0] == k).sum() for k in range(7)])
    assert scipy.stats.chi2.sf(((observed - expected) ** 2 / expected).sum().item(), 6) > 1e-6


@pytest.mark.parametrize("is_sparse", [False, True])
def test_gradients_are_those_of_finite_differences(is_sparse):
    weights = torch.tensor([[0.4, 1.5, 2.0]], dtype=torch.float64, requires_grad=True)
    value = torch.tensor([[0.0, 3.0, 2.0], [1.0, 0.0, 0.0]], dtype=torch.float64)

    def log_prob(weights):
        return DirichletMultinomial(weights, is_sparse=is_sparse, validate_args=False).log_prob(value)

    assert torch.autograd.gradcheck(log_prob, weights)


def test_shapes_and_errors():
    d = DirichletMultinomial(torch.ones(2, 3), torch.tensor([[4], [4]]), is_sparse=True)
    assert (d.batch_shape, d.event_shape) == ((2, 2), (3,)) == DirichletMultinomial.infer_shapes((2, 3), (2, 1))
    assert d.expand((5, 2, 2)).is_sparse and d.sample().shape == (2, 2, 3)
    with pytest.raises(UnsupportedError, match="inhomogeneous"):
        DirichletMultinomial(torch.ones(2, 3), torch.tensor([4, 5])).sample()
    with pytest.raises(SupportError, match="DirichletMultinomial"):
        DirichletMultinomial(torch.ones(3), 4, validate_args=True).log_prob(torch.tensor([3.0, 1.0, 1.0]))
    loose = DirichletMultinomial(torch.ones(3), 1, validate_args=False)
    assert loose.log_prob(torch.tensor([2.0, -1.0, 0.0])) == -math.inf
