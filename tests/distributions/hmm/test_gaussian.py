"""GaussianHMM against the joint normal of its series, written out, and against a Kalman filter."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch

import pyroxene.distributions as dist
from pyroxene.distributions.hmm import GaussianHMM, HiddenMarkovModel
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

NOISE = pytest.mark.parametrize("noise", [dense, diagonal])
SYSTEMS = pytest.mark.parametrize("shapes", list(SHAPES))
NUMBERS = STEPS * SEEN


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(20260101)


def series_of(d):
    return randn(7, *d.batch_shape, *d.event_shape)


def condition(loc, covariance, known, rest, value):
    """The normal of some entries given others."""
    gain = torch.linalg.solve(covariance[..., known, known], covariance[..., known, rest]).mT
    moved = loc[..., rest] + (gain @ (value - loc[..., known]).unsqueeze(-1)).squeeze(-1)
    return moved, covariance[..., rest, rest] - gain @ covariance[..., known, rest]


@SYSTEMS
@NOISE
def test_density_and_filter_are_those_of_the_joint_normal(shapes, noise):
    system = linear_system(shapes, noise)
    d = GaussianHMM(**system)
    assert d.event_shape == (STEPS, SEEN) and d.duration == STEPS
    loc, covariance = joint_normal(**system, batch=d.batch_shape)
    value = series_of(d)
    known, rest = slice(NUMBERS), slice(NUMBERS, None)
    flat = value.flatten(-2)
    expected = dist.MultivariateNormal(loc[..., known], covariance[..., known, known]).log_prob(flat)
    torch.testing.assert_close(d.log_prob(value), expected, rtol=1e-10, atol=1e-10)
    mean, spread = condition(loc, covariance, known, rest, flat)
    last = d.filter(value)
    torch.testing.assert_close(last.loc, mean, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(last.covariance_matrix, spread.expand_as(last.covariance_matrix), rtol=1e-9, atol=1e-9)


def test_density_is_that_of_a_kalman_filter():
    """Over 60 steps of three variables, one after the other, in covariance form."""
    a = torch.tensor([[0.9, 0.1], [-0.2, 0.8]], dtype=torch.float64)
    b, q, r = randn(2, 1), 0.3 * torch.eye(2, dtype=torch.float64), torch.full((1, 1), 0.5, dtype=torch.float64)
    zero = torch.zeros(2, dtype=torch.float64)
    value = randn(60, 1)
    mean, spread, total = zero, torch.eye(2, dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    for x in value:
        mean, spread = mean @ a, a.mT @ spread @ a + q
        surprise, own = x - mean @ b, b.mT @ spread @ b + r
        total = total + dist.MultivariateNormal(zero[:1], own).log_prob(surprise)
        gain = torch.linalg.solve(own, b.mT @ spread)
        mean, spread = mean + surprise @ gain, spread - spread @ b @ gain
    d = GaussianHMM(
        dist.MultivariateNormal(zero, torch.eye(2, dtype=torch.float64)),
        a,
        dist.MultivariateNormal(zero, q),
        b,
        dist.MultivariateNormal(zero[:1], r),
    )
    torch.testing.assert_close(d.log_prob(value), total, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(d.filter(value).loc, mean)
    torch.testing.assert_close(d.filter(value).covariance_matrix, spread)


@SYSTEMS
@NOISE
def test_draws_have_the_mean_and_covariance_of_the_joint_normal(shapes, noise):
    """Means and second moments of 20 000 whitened draws lie within 6 standard errors: each fails at 2e-9."""
    system = linear_system(shapes, noise)
    d = GaussianHMM(**system)
    loc, covariance = joint_normal(**system, batch=d.batch_shape)
    count = 20_000 // max(d.batch_shape.numel(), 1)
    drawn = d.rsample((count,))
    assert drawn.shape == (count, *d.batch_shape, STEPS, SEEN)
    factor = torch.linalg.cholesky(covariance[..., :NUMBERS, :NUMBERS])
    centred = (drawn.flatten(-2) - loc[..., :NUMBERS]).unsqueeze(-1)
    white = torch.linalg.solve_triangular(factor, centred, upper=False).squeeze(-1)
    error = 6 / count**0.5
    assert white.mean(0).abs().max() < error
    second = white.unsqueeze(-1) @ white.unsqueeze(-2)
    expected = torch.eye(NUMBERS, dtype=torch.float64)
    assert (second.mean(0) - expected).abs().max() < error * 2**0.5
    if d.batch_shape:
        apart = white.reshape(count, -1, NUMBERS)
        assert (apart[:, 0] * apart[:, 1]).mean(0).abs().max() < error  # series of a batch are independent


def test_posterior_draws_have_the_mean_and_covariance_of_the_states():
    system = linear_system("time", dense)
    d = GaussianHMM(**system)
    value = randn(2, STEPS, SEEN)
    count = 20_000
    drawn = d.rsample_posterior(value, (count,))
    assert drawn.shape == (count, 2, STEPS, HIDDEN)
    last = d.filter(value)
    factor = torch.linalg.cholesky(last.covariance_matrix)
    white = torch.linalg.solve_triangular(factor, (drawn[..., -1, :] - last.loc).unsqueeze(-1), upper=False).squeeze(-1)
    error = 6 / count**0.5
    assert white.mean(0).abs().max() < error
    second = (white.unsqueeze(-1) @ white.unsqueeze(-2)).mean(0)
    assert (second - torch.eye(HIDDEN, dtype=torch.float64)).abs().max() < error * 2**0.5


def test_gradients_of_density_and_draws():
    torch.manual_seed(1)

    def of(init, trans, shock, obs, error, run):
        start, noise = dist.Normal(init, 1.0).to_event(1), dist.Normal(0.0, shock.exp()).to_event(1)
        return run(GaussianHMM(start, trans, noise, obs, dist.Normal(0.0, error.exp()).to_event(1), duration=4))

    def draw(d):
        torch.manual_seed(0)
        return d.rsample()

    leaves = [x.requires_grad_() for x in (randn(2), randn(2, 2), randn(2), randn(2, 1), randn(1))]
    value = randn(4, 1)
    for run in (lambda d: d.log_prob(value), lambda d: d.filter(value).loc, draw):
        assert torch.autograd.gradcheck(lambda *args, run=run: of(*args, run), leaves)


@SYSTEMS
@NOISE
def test_conjugate_update(shapes, noise):
    d = GaussianHMM(**linear_system(shapes, noise))
    for other in (
        dist.Normal(randn(2, *[1] * len(d.batch_shape), STEPS, SEEN), 0.7).to_event(2),
        dense(SEEN, STEPS).to_event(1),
    ):
        updated, log_normalizer = d.conjugate_update(other)
        value = series_of(updated)
        expected = d.log_prob(value) + other.log_prob(value)
        torch.testing.assert_close(updated.log_prob(value) + log_normalizer, expected, rtol=1e-9, atol=1e-9)
        assert updated.rsample((3,)).shape == (3, *updated.batch_shape, STEPS, SEEN)
        again, more = updated.conjugate_update(other)
        twice = again.log_prob(value) + more + log_normalizer
        torch.testing.assert_close(twice, expected + other.log_prob(value), rtol=1e-9, atol=1e-9)
        rest = updated.prefix_condition(value[..., :2, :]).log_prob(value[..., 2:, :])
        alone = updated.log_prob(value)
        other_end = torch.cat([value[..., :2, :], randn(*value.shape[:-2], STEPS - 2, SEEN)], -2)
        ratio = updated.log_prob(other_end) - alone
        moved = updated.prefix_condition(value[..., :2, :]).log_prob(other_end[..., 2:, :])
        torch.testing.assert_close(moved - rest, ratio, rtol=1e-9, atol=1e-9)


def test_an_updated_density_integrates_to_one():
    d = GaussianHMM(*(diagonal(1), randn(1, 1), diagonal(1), randn(1, 1), diagonal(1)), duration=2)
    updated, _ = d.conjugate_update(dist.Normal(randn(2, 1), 1.0).to_event(2))
    grid = torch.linspace(-12, 12, 401, dtype=torch.float64)
    values = torch.stack(torch.meshgrid(grid, grid, indexing="ij"), -1).unsqueeze(-1)
    step = grid[1] - grid[0]
    torch.testing.assert_close(updated.log_prob(values).exp().sum() * step * step, torch.ones_like(step))
    first = updated.prefix_condition(torch.zeros(1, 1, dtype=torch.float64))
    assert first.duration == 1
    torch.testing.assert_close(first.log_prob(grid[:, None, None]).exp().sum() * step, torch.ones_like(step))


@SYSTEMS
def test_prefix_condition(shapes):
    d = GaussianHMM(**linear_system(shapes, dense))
    loc, covariance = joint_normal(**linear_system_of(d, shapes), batch=d.batch_shape)
    value = series_of(d)
    for cut in (1, 3, 4):
        rest = d.prefix_condition(value[..., :cut, :])
        assert rest.duration == STEPS - cut and rest.event_shape == (STEPS - cut, SEEN)
        known, unknown = slice(cut * SEEN), slice(cut * SEEN, NUMBERS)
        mean, spread = condition(loc, covariance, known, unknown, value[..., :cut, :].flatten(-2))
        expected = dist.MultivariateNormal(mean, spread).log_prob(value[..., cut:, :].flatten(-2))
        torch.testing.assert_close(rest.log_prob(value[..., cut:, :]), expected, rtol=1e-9, atol=1e-9)
    with pytest.raises(UsageError, match="nothing is left"):
        d.prefix_condition(value)


def linear_system_of(d, shapes):
    """The parameters from which `d` was made: the generator is set back to where it began."""
    torch.manual_seed(20260101)
    return linear_system(shapes, dense)


def test_a_filter_is_where_to_go_on():
    """The density of a whole is that of a part, times that of the rest with the filter as initial_dist."""
    init, trans, shock, obs, error, duration = linear_system("homogeneous", dense).values()
    d = GaussianHMM(init, trans, shock, obs, error, duration=duration)
    value = randn(STEPS, SEEN)
    first = GaussianHMM(init, trans, shock, obs, error)
    rest = GaussianHMM(first.filter(value[:2]), trans, shock, obs, error)
    torch.testing.assert_close(first.log_prob(value[:2]) + rest.log_prob(value[2:]), d.log_prob(value))


def test_expand_copy_and_pickle():
    d = GaussianHMM(**linear_system("mixed", dense))
    value = series_of(d)
    expanded = d.expand((4, *d.batch_shape))
    assert type(expanded) is GaussianHMM and expanded.batch_shape == (4, *d.batch_shape)
    assert expanded.rsample((6,)).shape == (6, 4, *d.batch_shape, STEPS, SEEN)
    torch.testing.assert_close(expanded.log_prob(value[0]), d.log_prob(value[0]).expand(expanded.batch_shape))
    assert expanded.filter(value[0]).batch_shape == expanded.batch_shape
    assert not torch.equal(*expanded.rsample()[:2])
    for twin in (copy.deepcopy(d), pickle.loads(pickle.dumps(d))):
        assert torch.equal(twin.log_prob(value), d.log_prob(value))
    mask = torch.tensor([True, False, True])
    torch.testing.assert_close(d.mask(mask).log_prob(value), torch.where(mask, d.log_prob(value), 0.0))


def test_a_homogeneous_model_scores_any_number_of_steps():
    parts = (dense(HIDDEN), randn(HIDDEN, HIDDEN), dense(HIDDEN), randn(HIDDEN, SEEN), diagonal(SEEN))
    d = GaussianHMM(*parts)
    assert d.duration is None and d.event_shape == (1, SEEN)
    for steps in (1, 4, 9):
        value = randn(2, steps, SEEN)
        told = GaussianHMM(*parts, duration=steps)
        torch.testing.assert_close(d.log_prob(value), told.log_prob(value))
    assert told.event_shape == (9, SEEN) and told.sample().shape == (9, SEEN)
    for call in (d.sample, lambda: d.prefix_condition(value)):
        with pytest.raises(UsageError, match="duration="):
            call()
    assert d.conjugate_update(dist.Normal(randn(4, SEEN), 1.0).to_event(2))[0].duration == 4
    with pytest.raises(ShapeError, match="any number of steps"):
        d.log_prob(randn(4, SEEN + 1))
    with pytest.raises(ShapeError, match="must match event_shape"):
        told.log_prob(randn(1, SEEN))
    with pytest.raises(ShapeError, match="must match event_shape"):
        told.log_prob(randn(SEEN))


def test_what_does_not_fit_is_refused():
    good = linear_system("time", dense)
    for wrong in (
        {"initial_dist": dense(3)},
        {"transition_dist": dist.Normal(0.0, 1.0)},
        {"observation_dist": dense(2, 5)},
        {"transition_matrix": randn(3, 3)},
        {"observation_matrix": randn(3)},
        {"transition_dist": dense(2, 4)},
        {"duration": 4},
    ):
        with pytest.raises(ShapeError):
            GaussianHMM(**{**good, **wrong})
    with pytest.raises(UsageError):
        GaussianHMM(**{**good, "transition_dist": dist.StudentT(3.0, randn(2), 1.0).to_event(1)})
    with pytest.raises(UsageError, match="same series"):
        GaussianHMM(**good).conjugate_update(dist.Normal(randn(5, 3), 1.0).to_event(1))
    with pytest.raises(ShapeError, match="duration, event_shape mismatch"):
        HiddenMarkovModel(5, (), (3, 1))
    assert HiddenMarkovModel(5, (), (1, 2)).event_shape == (5, 2)


def test_float32_is_right_to_its_precision():
    exact = linear_system("time", dense)
    narrow = {
        "initial_dist": lower(exact["initial_dist"]),
        "transition_matrix": exact["transition_matrix"].float(),
        "transition_dist": lower(exact["transition_dist"]),
        "observation_matrix": exact["observation_matrix"].float(),
        "observation_dist": lower(exact["observation_dist"]),
    }
    value = randn(20, STEPS, SEEN)
    got = GaussianHMM(**narrow).log_prob(value.float())
    assert got.dtype == torch.float32
    torch.testing.assert_close(got.double(), GaussianHMM(**exact).log_prob(value), rtol=2e-5, atol=2e-5)


def lower(d):
    return dist.MultivariateNormal(d.loc.float(), scale_tril=d.scale_tril.float())
