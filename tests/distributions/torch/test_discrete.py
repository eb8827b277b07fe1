"""What Bernoulli and its kin do otherwise than torch."""

from __future__ import annotations

import pytest
import scipy.stats
import torch
import torch.distributions as torchdist

import pyroxene.distributions as dist
from pyroxene import settings


def test_binomial_log_prob_is_within_the_tolerance():
    n = torch.tensor([0.0, 1.0, 5.0, 50.0, 5000.0], dtype=torch.float64)
    k = (n * torch.linspace(0, 1, 7, dtype=torch.float64)[:, None]).floor()
    d = dist.Binomial(n, torch.tensor(0.3, dtype=torch.float64))
    exact = d.log_prob(k)
    expected = torch.as_tensor(scipy.stats.binom.logpmf(k, n, 0.3))
    torch.testing.assert_close(exact, expected, rtol=1e-9, atol=1e-9)
    for tolerance in [0.001, 0.01, 0.1]:
        with settings.context(binomial_approx_log_prob_tol=tolerance):
            assert (d.log_prob(k) - exact).abs().max() < tolerance
            assert (d.log_prob(k) == exact).all() == (tolerance == 0.001)


@pytest.mark.parametrize("tolerance", [0.0, 0.1])
def test_binomial_gives_no_mass_to_impossible_counts(tolerance):
    with settings.context(binomial_approx_log_prob_tol=tolerance):
        logits = torch.zeros(3, requires_grad=True)
        d = dist.Binomial(3, logits=logits, validate_args=False)
        log_prob = d.log_prob(torch.tensor([-1.0, 4.0, 7.0]))
        assert torch.equal(log_prob, torch.full((3,), -torch.inf))
        assert torch.autograd.grad(log_prob.sum(), logits)[0].isfinite().all()


@pytest.mark.parametrize("p", [0.01, 0.5, 0.97])
def test_approximate_binomial_samples_have_the_right_moments(p):
    """Each mean is within 6 standard errors, so all 6 checks together fail with probability below 2e-8."""
    torch.manual_seed(0)
    n, total = 10_000, 2000.0
    with settings.context(binomial_approx_sample_thresh=100.0):
        sample = dist.Binomial(torch.tensor(total), torch.tensor(p)).sample((n,)).double()
    assert ((0 <= sample) & (sample <= total)).all()
    mean, variance = total * p, total * p * (1 - p)
    assert abs(sample.mean() - mean) < 6 * (variance / n) ** 0.5 + 0.5  # the shift is rounded, to half a count
    assert abs(sample.var() / variance - 1) < 6 * (2.1 / n) ** 0.5  # excess kurtosis below 0.1


def test_binomial_sampling_is_exact_up_to_the_threshold():
    total = torch.tensor([5.0, 500.0])
    with settings.context(binomial_approx_sample_thresh=1000.0):
        torch.manual_seed(0)
        ours = dist.Binomial(total, torch.tensor(0.3)).sample((4,))
    torch.manual_seed(0)
    assert torch.equal(ours, torchdist.Binomial(total, torch.tensor(0.3)).sample((4,)))
    with settings.context(binomial_approx_sample_thresh=10.0):
        mixed = dist.Binomial(total, torch.tensor(0.3)).sample((1000,))
    assert (mixed[:, 0] <= 5).all() and (mixed[:, 1] > 50).all()


def test_categorical_looks_nothing_up_for_its_own_support():
    torch.manual_seed(0)
    logits = torch.randn(4, 2, 3)
    d = dist.Categorical(logits=logits)
    values = d.enumerate_support(expand=False)
    plain = values.clone()  # without the mark
    assert torch.equal(d.log_prob(values), d.log_prob(plain))
    assert d.log_prob(values).shape == (3, 4, 2)
    wider = values.reshape(3, 1, 1, 1)
    wider._pyro_categorical_support = values._pyro_categorical_support
    assert torch.equal(d.log_prob(wider), d.log_prob(wider.clone()))
    assert d.log_prob(wider).shape == (3, 1, 4, 2)


def test_the_mark_of_a_support_does_not_mislead_another_categorical():
    torch.manual_seed(0)
    values = dist.Categorical(logits=torch.zeros(3)).enumerate_support(expand=False)
    assert values.shape == (3,)
    for logits in [torch.randn(3), torch.randn(3, 3), torch.randn(4)]:
        d = dist.Categorical(logits=logits)
        assert torch.equal(d.log_prob(values), d.log_prob(values.clone()))


def test_categorical_broadcasts_values_and_batch():
    d = dist.Categorical(logits=torch.zeros(2, 5))
    assert d.log_prob(torch.zeros(4, 1, 1)).shape == (4, 1, 2)
    assert d.log_prob(torch.tensor(0)).shape == (2,)


def test_geometric_at_the_edges():
    d = dist.Geometric(torch.tensor([1.0, 1.0, 0.25]))
    torch.testing.assert_close(d.log_prob(torch.tensor([0.0, 1.0, 0.0])).exp(), torch.tensor([1.0, 0.0, 0.25]))
    probs = torch.tensor([1.0, 0.5], requires_grad=True)
    log_prob = dist.Geometric(probs).log_prob(torch.tensor([0.0, 3.0]))
    assert log_prob[0] == 0
    assert torch.autograd.grad(log_prob.sum(), probs)[0].isfinite().all()


def test_geometric_scores_by_the_parameter_it_was_made_with():
    d = dist.Geometric(logits=torch.tensor([30.0]))
    before = d.log_prob(torch.tensor([1.0]))
    d.sample()
    assert torch.equal(d.log_prob(torch.tensor([1.0])), before)
    torch.testing.assert_close(before, torch.tensor([-30.0]))
    assert torch.equal(d.expand((2, 1)).log_prob(torch.tensor([1.0])), before.expand(2, 1))


def test_poisson_is_sparse():
    torch.manual_seed(0)
    rate = torch.rand(50, requires_grad=True)
    value = torch.poisson(torch.full((3, 50), 0.2))
    dense, sparse = dist.Poisson(rate), dist.Poisson(rate, is_sparse=True)
    torch.testing.assert_close(sparse.log_prob(value), dense.log_prob(value))
    torch.testing.assert_close(
        torch.autograd.grad(sparse.log_prob(value).sum(), rate), torch.autograd.grad(dense.log_prob(value).sum(), rate)
    )
    assert sparse.expand((3, 50)).is_sparse
    with pytest.raises(ValueError, match="within the support"):
        sparse.log_prob(torch.full((50,), 0.5))
