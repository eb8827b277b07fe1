"""FoldedDistribution beyond the contract."""

from __future__ import annotations

import pytest
import scipy.stats
import torch

import pyroxene.distributions as dist
from pyroxene.errors import ParameterError, SupportError


@pytest.mark.parametrize("loc", [0.0, 0.7, -2.0])
def test_folded_normal_is_scipys(loc):
    value = torch.linspace(0.1, 5, 7, dtype=torch.float64)
    d = dist.FoldedDistribution(dist.Normal(torch.tensor(loc, dtype=torch.float64), 1.5))
    expected = scipy.stats.foldnorm.logpdf(value, abs(loc) / 1.5, scale=1.5)
    torch.testing.assert_close(d.log_prob(value), torch.as_tensor(expected))


def test_far_from_zero_the_density_does_not_underflow():
    d = dist.FoldedDistribution(dist.Normal(torch.tensor(0.0), 0.01))
    torch.testing.assert_close(d.log_prob(torch.tensor(2.0)), dist.HalfNormal(0.01).log_prob(torch.tensor(2.0)))


def test_samples_are_positive_and_carry_gradients():
    torch.manual_seed(0)
    loc = torch.zeros(2, requires_grad=True)
    d = dist.FoldedDistribution(dist.Normal(loc, 1.0))
    sample = d((50,))
    assert (sample > 0).all() and d.has_rsample
    assert torch.autograd.grad(sample.sum(), loc)[0].abs().sum() > 0
    assert type(d.expand((3, 2))) is dist.FoldedDistribution


def test_mistakes():
    with pytest.raises(ParameterError, match="Only univariate"):
        dist.FoldedDistribution(dist.Normal(torch.zeros(2), 1.0).to_event(1))
    d = dist.FoldedDistribution(dist.Normal(0.0, 1.0))
    with pytest.raises(SupportError, match="within the support"):
        d.log_prob(torch.tensor(-1.0))
