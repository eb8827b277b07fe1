"""LinearHMM against GaussianHMM where noise is normal, and against its recursion where it is not."""

from __future__ import annotations

import pytest
import torch

import pyroxene.distributions as dist
from pyroxene.distributions.hmm import GaussianHMM, LinearHMM
from pyroxene.errors import ShapeError, UsageError
from tests.distributions.hmm.systems import (
    HIDDEN,
    SEEN,
    SHAPES,
    STEPS,
    dense,
    diagonal,
    joint_normal,
    linear_system,
    randn,
)

SYSTEMS = pytest.mark.parametrize("shapes", list(SHAPES))
NUMBERS = STEPS * SEEN


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(20260101)


@SYSTEMS
@pytest.mark.parametrize("noise", [dense, diagonal])
def test_density_is_that_of_a_gaussian_hmm(shapes, noise):
    system = linear_system(shapes, noise)
    d, reference = LinearHMM(**system), GaussianHMM(**system)
    value = randn(*reference.batch_shape, STEPS, SEEN)
    assert d.batch_shape == reference.batch_shape and d.event_shape == reference.event_shape and d.transforms == []
    torch.testing.assert_close(d.log_prob(value), reference.log_prob(value))
    expanded = d.expand((4, *d.batch_shape))
    assert type(expanded) is LinearHMM and expanded.sample((3,)).shape == (3, 4, *d.batch_shape, STEPS, SEEN)
    torch.testing.assert_close(expanded.log_prob(value), d.log_prob(value).expand(expanded.batch_shape))


@SYSTEMS
def test_draws_have_the_mean_and_covariance_of_the_joint_normal(shapes):
    """Means and second moments of 20 000 whitened draws lie within 6 standard errors: each fails at 2e-9."""
    system = linear_system(shapes, dense)
    d = LinearHMM(**system)
    loc, covariance = joint_normal(**system, batch=d.batch_shape)
    count = 20_000 // max(d.batch_shape.numel(), 1)
    drawn = d.rsample((count,))
    factor = torch.linalg.cholesky(covariance[..., :NUMBERS, :NUMBERS])
    centred = (drawn.flatten(-2) - loc[..., :NUMBERS]).unsqueeze(-1)
    white = torch.linalg.solve_triangular(factor, centred, upper=False).squeeze(-1)
    assert white.mean(0).abs().max() < 6 / count**0.5
    second = (white.unsqueeze(-1) @ white.unsqueeze(-2)).mean(0)
    assert (second - torch.eye(NUMBERS, dtype=torch.float64)).abs().max() < 6 * (2 / count) ** 0.5


@pytest.mark.parametrize("steps", [1, 2, 5, 8])
def test_draws_of_any_noise_follow_the_recursion(steps):
    first, shock = dist.Exponential(torch.ones(2)).to_event(1), dist.StudentT(3.0, torch.zeros(2), 1.0).to_event(1)
    error = dist.Laplace(torch.zeros(3), 1.0).to_event(1)
    trans, obs = torch.randn(steps, 2, 2), torch.randn(2, 3)
    d = LinearHMM(first, trans, shock, obs, error, duration=steps)
    torch.manual_seed(0)
    drawn = d.rsample((4,))
    torch.manual_seed(0)
    state = first.rsample((4,))
    shocks, errors = shock.expand((steps,)).rsample((4,)), error.expand((steps,)).rsample((4,))
    for t in range(steps):
        state = state @ trans[t] + shocks[:, t]
        torch.testing.assert_close(drawn[:, t], state @ obs + errors[:, t])
    with pytest.raises(NotImplementedError, match="LinearHMMReparam"):
        d.log_prob(drawn)


def test_transforms_of_observations():
    system = linear_system("time", diagonal)
    normal = system["observation_dist"].base_dist
    lognormal = dist.LogNormal(normal.loc, normal.scale).to_event(1)
    squashed = dist.TransformedDistribution(lognormal, [dist.transforms.AffineTransform(1.0, 2.0)])
    plain = LinearHMM(**system)
    d = LinearHMM(**{**system, "observation_dist": squashed})
    assert len(d.transforms) == 2 and isinstance(d.observation_dist.base_dist, torch.distributions.Normal)
    torch.manual_seed(0)
    value = d.sample()
    torch.manual_seed(0)
    before = plain.sample()
    torch.testing.assert_close(value, 1 + 2 * before.exp())
    expected = plain.log_prob(before) - (before + torch.tensor(2.0).double().log()).sum((-1, -2))
    torch.testing.assert_close(d.log_prob(value), expected)
    positive = LinearHMM(**{**system, "observation_dist": lognormal})
    assert positive.support.event_dim == 2
    assert positive.support.check(positive.sample()) and not positive.support.check(-positive.sample())
    assert plain.support.check(-value)


def test_gradients_flow_where_noise_is_reparameterised():
    loc = torch.zeros(2, requires_grad=True)
    shock, error = dist.StudentT(3.0, loc, 1.0).to_event(1), dist.Normal(torch.zeros(1), 1.0).to_event(1)
    d = LinearHMM(shock, torch.eye(2), shock, torch.ones(2, 1), error, duration=3)
    assert d.has_rsample
    d.rsample().sum().backward()
    torch.testing.assert_close(loc.grad, torch.full((2,), 3.0 + (1 + 2 + 3)))
    counts = dist.Poisson(torch.ones(2)).to_event(1)
    d = LinearHMM(shock, torch.eye(2), counts, torch.ones(2, 1), error, duration=3)
    assert not d.has_rsample and d().shape == (3, 1)


def test_errors():
    system = linear_system("homogeneous", dense)
    with pytest.raises(ShapeError):
        LinearHMM(**{**system, "observation_dist": dense(HIDDEN)})
    with pytest.raises(UsageError, match="duration="):
        LinearHMM(**{**system, "duration": None}).sample()
