"""Normal distributions of data with gaps."""

from __future__ import annotations

import itertools

import torch

import pyroxene.distributions as dist
from pyroxene.distributions.families.nan_masked import NanMaskedMultivariateNormal, NanMaskedNormal

NAN = torch.nan
COVARIANCE = torch.tensor([[2.0, 0.5, -0.3], [0.5, 1.0, 0.2], [-0.3, 0.2, 0.8]], dtype=torch.float64)
LOC = torch.tensor([0.1, -0.2, 0.3], dtype=torch.float64)


def test_missing_values_count_nothing_and_have_no_gradient():
    loc = torch.tensor([0.5, 0.5], requires_grad=True)
    log_prob = NanMaskedNormal(loc, 2.0).log_prob(torch.tensor([1.0, NAN]))
    assert log_prob[1] == 0 and torch.equal(log_prob[0], dist.Normal(0.5, 2.0).log_prob(torch.tensor(1.0)))
    (gradient,) = torch.autograd.grad(log_prob.sum(), loc)
    assert gradient[1] == 0 and gradient[0] == 0.125
    assert type(NanMaskedNormal(0.0, 1.0).expand((3,))) is NanMaskedNormal


def test_every_pattern_of_gaps_has_the_marginal_density():
    value = torch.tensor([1.0, 2.0, -1.0], dtype=torch.float64)
    d = NanMaskedMultivariateNormal(LOC, COVARIANCE)
    patterns = torch.tensor(list(itertools.product([True, False], repeat=3)))
    got = d.log_prob(torch.where(patterns, value, NAN))
    for there, log_prob in zip(patterns, got):
        if not there.any():
            assert log_prob == 0
            continue
        marginal = dist.MultivariateNormal(LOC[there], COVARIANCE[there][:, there])
        torch.testing.assert_close(log_prob, marginal.log_prob(value[there]), rtol=1e-12, atol=1e-12)


def test_gradients_and_batches():
    covariance = COVARIANCE.clone().requires_grad_()
    d = NanMaskedMultivariateNormal(LOC, covariance).expand((4,))
    value = torch.tensor([[1.0, NAN, 2.0], [NAN, NAN, NAN], [1.0, 2.0, 3.0], [NAN, 0.0, NAN]], dtype=torch.float64)
    log_prob = d.log_prob(value)
    assert log_prob.shape == (4,) and d.log_prob(value.expand(2, 4, 3)).shape == (2, 4)
    assert torch.autograd.grad(log_prob.sum(), covariance)[0].isfinite().all()
