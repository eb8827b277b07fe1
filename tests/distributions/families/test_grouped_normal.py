"""GroupedNormalNormal against the dense multivariate normal that it stands for."""

from __future__ import annotations

import pytest
import torch

import pyroxene.distributions as dist
from pyroxene.distributions.families.grouped_normal import GroupedNormalNormal
from pyroxene.errors import ShapeError

F64 = torch.float64
INDEX = torch.tensor([0, 0, 1, 0, 1, 1])


def make(scale=1.0, obs=None):
    torch.manual_seed(0)
    prior_loc, prior_scale = torch.randn(3, dtype=F64), (torch.rand(3, dtype=F64) + 0.3) * scale
    return GroupedNormalNormal(prior_loc, prior_scale, torch.rand(6, dtype=F64) + 0.2 if obs is None else obs, INDEX)


def dense(d):
    same = INDEX[:, None] == INDEX
    covariance = torch.where(same, d.prior_scale[INDEX].square()[:, None], 0.0) + torch.diag(d.obs_scale.square())
    return dist.MultivariateNormal(d.prior_loc[INDEX], covariance)


def test_density_with_an_empty_group():
    d = make()
    value = torch.randn(4, 6, dtype=F64) * 3
    torch.testing.assert_close(d.log_prob(value), dense(d).log_prob(value), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(d.variance, dense(d).variance)
    torch.testing.assert_close(d.mean, dense(d).mean)


def test_a_vague_prior_does_not_cancel():
    """With a prior of scale 1e6 and values of 1e6 the terms of the textbook formula are 1e12 each."""
    d = make(scale=1e6)
    value = torch.randn(6, dtype=F64) + 1e6
    pair = torch.tensor([0, 0])
    two = GroupedNormalNormal(d.prior_loc[:1], d.prior_scale[:1], torch.ones(2, dtype=F64), pair)
    x, y = (value[:2] - d.prior_loc[0]).tolist()
    half, total = (x - y) ** 2 / 4, (x + y) ** 2 / 4 / (1 + 2 * float(d.prior_scale[0]) ** 2)
    constant = torch.log(torch.tensor(2 * torch.pi, dtype=F64)) + 0.5 * (1 + 2 * d.prior_scale[0].square()).log()
    torch.testing.assert_close(two.log_prob(value[:2]), -constant - half - total, rtol=1e-11, atol=0)


def test_posterior():
    d = make()
    value = torch.randn(6, dtype=F64)
    posterior = d.get_posterior(value)
    # by conditioning the joint normal of group means and observations
    links = (torch.arange(3)[:, None] == INDEX).double() * d.prior_scale.square()[:, None]
    gain = links @ torch.linalg.inv(dense(d).covariance_matrix)
    torch.testing.assert_close(posterior.mean, d.prior_loc + gain @ (value - d.mean))
    covariance = torch.diag(d.prior_scale.square()) - gain @ links.T
    torch.testing.assert_close(posterior.variance, covariance.diagonal())


def test_samples_have_the_covariance_and_carry_gradients():
    d = make()
    torch.manual_seed(1)
    sample = d.rsample((50000,))
    # entries of up to 1.3 with a standard error of up to 0.008
    torch.testing.assert_close(sample.T.cov(), dense(d).covariance_matrix, rtol=0, atol=0.05)
    scale = d.prior_scale.clone().requires_grad_()
    again = GroupedNormalNormal(d.prior_loc, scale, d.obs_scale, INDEX)
    assert torch.autograd.grad(again.rsample().sum(), scale)[0][2] == 0


def test_shapes_and_mistakes():
    d = make(obs=0.7)
    assert d.batch_shape == () and d.event_shape == (6,) and d.obs_scale.shape == (6,)
    assert d.expand((2, 1)).sample((3,)).shape == (3, 2, 1, 6)
    assert d.expand((2,)).get_posterior(torch.zeros(6, dtype=F64)).batch_shape == (2, 3)
    with pytest.raises(ShapeError, match="1-dimensional"):
        GroupedNormalNormal(torch.zeros(3), torch.ones(3), 1.0, INDEX[None])
    with pytest.raises(ShapeError, match="each group"):
        GroupedNormalNormal(torch.tensor(0.0), torch.tensor(1.0), 1.0, INDEX)
