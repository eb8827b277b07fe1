"""The fakes differ from their originals in nothing but the gradient of samples."""

from __future__ import annotations

import pytest
import torch

import pyroxene.distributions as dist
from pyroxene.distributions.testing import fakes

ONE = torch.ones(2)


@pytest.mark.parametrize(
    ("fake", "original", "parameters"),
    [
        (fakes.NonreparameterizedNormal, dist.Normal, 2),
        (fakes.NonreparameterizedBeta, dist.Beta, 2),
        (fakes.NonreparameterizedGamma, dist.Gamma, 2),
        (fakes.NonreparameterizedDirichlet, dist.Dirichlet, 1),
    ],
)
def test_samples_carry_no_gradient(fake, original, parameters):
    leaves = [torch.ones(2, requires_grad=True) for _ in range(parameters)]
    d = fake(*leaves)
    assert isinstance(d, original) and not d.has_rsample and not d.expand((3, *d.batch_shape)).has_rsample
    value = d()
    assert not value.requires_grad
    assert torch.equal(d.log_prob(value), original(*leaves).log_prob(value))
    parts = d.score_parts(value)
    assert parts.score_function is parts.log_prob and parts.entropy_term == 0
