"""GaussianMRF against the joint normal whose precision is the sum of its factors'."""

from __future__ import annotations

import copy

import pytest
import torch

import pyroxene.distributions as dist
from pyroxene.distributions.hmm import GaussianMRF
from pyroxene.errors import ShapeError
from tests.distributions.hmm.systems import HIDDEN, SEEN, STEPS, dense, diagonal, randn


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(20260101)


def joint_normal(init, trans, obs, batch):
    """The normal of all states and observations, by summing precisions and information vectors."""
    states = (STEPS + 1) * HIDDEN
    total = states + STEPS * SEEN
    precision = torch.zeros(*batch, total, total, dtype=torch.float64)
    info = torch.zeros(*batch, total, dtype=torch.float64)

    def add(mvn, places):
        inverse = torch.linalg.inv(
            mvn.covariance_matrix if hasattr(mvn, "covariance_matrix") else mvn.variance.diag_embed()
        )
        where = torch.tensor(places)
        precision[..., where[:, None], where] += inverse
        info[..., where] += (inverse @ mvn.mean.unsqueeze(-1)).squeeze(-1)

    add(init, list(range(HIDDEN)))
    for t in range(STEPS):
        now = list(range((t + 1) * HIDDEN, (t + 2) * HIDDEN))
        before = list(range(t * HIDDEN, (t + 1) * HIDDEN))
        add(row(trans, batch, t), before + now)
        add(row(obs, batch, t), now + list(range(states + t * SEEN, states + (t + 1) * SEEN)))
    covariance = torch.linalg.inv(precision)
    loc = (covariance @ info.unsqueeze(-1)).squeeze(-1)
    return loc[..., states:], covariance[..., states:, states:]


def row(mvn, batch, t):
    whole = mvn.expand((*batch, STEPS))
    if isinstance(whole, dist.MultivariateNormal):
        return dist.MultivariateNormal(whole.loc[..., t, :], scale_tril=whole.scale_tril[..., t, :, :])
    return dist.Normal(whole.base_dist.loc[..., t, :], whole.base_dist.scale[..., t, :]).to_event(1)


@pytest.mark.parametrize("noise", [dense, diagonal])
@pytest.mark.parametrize("shapes", [((), (STEPS,), (STEPS,)), ((3,), (2, 1, STEPS), (1,)), ((), (), (4, STEPS))])
def test_density_and_draws_are_those_of_the_joint_normal(shapes, noise):
    """Means and second moments of 20 000 whitened draws lie within 6 standard errors: each fails at 2e-9."""
    init, trans, obs = noise(HIDDEN, *shapes[0]), noise(2 * HIDDEN, *shapes[1]), noise(HIDDEN + SEEN, *shapes[2])
    d = GaussianMRF(init, trans, obs)
    assert d.event_shape == (STEPS, SEEN)
    loc, covariance = joint_normal(init, trans, obs, d.batch_shape)
    value = randn(6, *d.batch_shape, STEPS, SEEN)
    expected = dist.MultivariateNormal(loc, covariance).log_prob(value.flatten(-2))
    torch.testing.assert_close(d.log_prob(value), expected, rtol=1e-10, atol=1e-10)
    count = 20_000 // max(d.batch_shape.numel(), 1)
    drawn = d.rsample((count,)).flatten(-2)
    centred = (drawn - loc).unsqueeze(-1)
    white = torch.linalg.solve_triangular(torch.linalg.cholesky(covariance), centred, upper=False).squeeze(-1)
    assert white.mean(0).abs().max() < 6 / count**0.5
    second = (white.unsqueeze(-1) @ white.unsqueeze(-2)).mean(0)
    assert (second - torch.eye(STEPS * SEEN, dtype=torch.float64)).abs().max() < 6 * (2 / count) ** 0.5


def test_a_homogeneous_field_scores_any_number_of_steps():
    init, trans, obs = dense(HIDDEN), dense(2 * HIDDEN), dense(HIDDEN + SEEN)
    d = GaussianMRF(init, trans, obs)
    value = randn(STEPS, SEEN)
    told = GaussianMRF(init, trans.expand((STEPS,)), obs)
    torch.testing.assert_close(d.log_prob(value), told.log_prob(value))
    assert d.event_shape == (1, SEEN) and d.sample().shape == (1, SEEN)
    with pytest.raises(ShapeError, match="must match event_shape"):
        told.log_prob(value[:1])
    expanded = told.expand((3, 2))
    assert type(expanded) is GaussianMRF and expanded.sample((4,)).shape == (4, 3, 2, STEPS, SEEN)
    torch.testing.assert_close(expanded.log_prob(value), told.log_prob(value).expand(3, 2))
    assert torch.equal(copy.deepcopy(told).log_prob(value), told.log_prob(value))


def test_what_does_not_fit_is_refused():
    for wrong in (
        (dense(2), dense(3), dense(5)),
        (dense(2), dense(4), dense(2)),
        (dense(2), dense(4, 5), dense(5, 4)),
        (dist.Normal(0.0, 1.0), dense(4), dense(5)),
    ):
        with pytest.raises(ShapeError):
            GaussianMRF(*wrong)
