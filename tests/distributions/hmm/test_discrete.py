"""DiscreteHMM against sums over all paths, against the forward algorithm, and its draws against its density."""

from __future__ import annotations

import copy
import itertools
import pickle

import pytest
import scipy.stats
import torch

import pyroxene.distributions as dist
from pyroxene.distributions.hmm import DiscreteHMM, _sequential_logmatmulexp
from pyroxene.errors import ShapeError, SupportError, UsageError
from tests.distributions.hmm.systems import randn

STATES, STEPS = 3, 4

# batch shapes of initial_logits, transition_logits, observation_dist (the state left out); duration
SHAPES = {
    "homogeneous": ((), (), (), 4),
    "time": ((), (4,), (4,), None),
    "mixed": ((5,), (4,), (2, 1, 4), None),
    "batch": ((), (), (2, 1), 4),
}
OBSERVED = {
    "integers": lambda batch: dist.Categorical(logits=randn(*batch, STATES, 3)),
    "numbers": lambda batch: dist.Normal(randn(*batch, STATES), 1.0),
    "vectors": lambda batch: dist.Normal(randn(*batch, STATES, 2), 1.0).to_event(1),
    "shared": lambda batch: dist.Normal(randn(*batch, 1), 1.0),
}
MODELS = pytest.mark.parametrize("shapes", list(SHAPES))
KINDS = pytest.mark.parametrize("kind", list(OBSERVED))


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(20260101)


def model(shapes, kind):
    init, trans, obs, duration = SHAPES[shapes]
    return DiscreteHMM(randn(*init, STATES), randn(*trans, STATES, STATES), OBSERVED[kind](obs), duration=duration)


def log_joint(d, value):
    """The log density of each path of states with the observations, paths first."""
    shape = d.batch_shape + (STEPS, STATES)
    moves = d.transition_logits.expand(*shape, STATES)
    place = -1 - d.observation_dist.event_dim
    seen = d.observation_dist.expand(shape).log_prob(value.unsqueeze(place))
    paths = list(itertools.product(range(STATES), repeat=STEPS + 1))
    total = []
    for path in paths:
        term = d.initial_logits[..., path[0]]
        for t in range(STEPS):
            term = term + moves[..., t, path[t], path[t + 1]] + seen[..., t, path[t + 1]]
        total.append(term)
    return torch.tensor(paths), torch.stack(total)


@MODELS
@KINDS
def test_density_and_filter_are_sums_over_all_paths(shapes, kind):
    d = model(shapes, kind)
    value = d.sample((2,))
    assert value.shape == (2, *d.batch_shape, *d.event_shape)
    paths, terms = log_joint(d, value)
    torch.testing.assert_close(d.log_prob(value), terms.logsumexp(0), rtol=1e-10, atol=1e-10)
    expected = torch.stack([terms[paths[:, -1] == state].logsumexp(0) for state in range(STATES)], -1)
    torch.testing.assert_close(d.filter(value).logits, expected.log_softmax(-1), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("size", [2, 8, 9, 40])
@pytest.mark.parametrize("steps", [1, 2, 3, 8, 11])
def test_the_product_along_time_is_the_product_in_order(steps, size):
    logits = randn(3, steps, size, size) * 5
    expected = logits[:, 0]
    for t in range(1, steps):
        expected = (expected.unsqueeze(-1) + logits[:, t].unsqueeze(-3)).logsumexp(-2)
    torch.testing.assert_close(_sequential_logmatmulexp(logits), expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("size", [4, 30])
def test_density_is_that_of_the_forward_algorithm_over_a_long_series(size):
    d = DiscreteHMM(randn(size), 3 * randn(size, size), dist.Normal(randn(size), 0.3), duration=300)
    value = d.sample()
    forward = d.initial_logits
    for x in value:
        forward = (forward.unsqueeze(-1) + d.transition_logits).logsumexp(-2) + d.observation_dist.log_prob(x)
    torch.testing.assert_close(d.log_prob(value), forward.logsumexp(-1), rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(d.filter(value).logits, forward.log_softmax(-1), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("size", [3, 20])
def test_forbidden_moves_cost_no_gradient(size):
    """A left-to-right model: many paths have probability zero, some entries of products are logs of zero."""
    free = randn(size, size).requires_grad_()
    allowed = torch.ones(size, size).tril().triu(-1).bool().T
    start = torch.full((size,), -torch.inf, dtype=torch.float64)
    start[0] = 0.0
    loc = randn(size).requires_grad_()
    logits = torch.where(allowed, free, -torch.inf)
    d = DiscreteHMM(start, logits, dist.Normal(loc, 1.0), duration=7)
    value = randn(7)
    density = d.log_prob(value)
    density.backward()
    assert density.isfinite() and free.grad.isfinite().all() and loc.grad.isfinite().all()
    states = d.filter(value).probs
    assert (states[8:] == 0).all() and (states[:8] > 0).all()  # seven moves, one to the right at most
    torch.testing.assert_close(states.sum(), torch.ones_like(density))


@pytest.mark.parametrize("size", [3, 20])
def test_extreme_observations_keep_their_order(size):
    """In float32, hundreds of nats apart, where exponentials vanish."""
    place = torch.arange(size, dtype=torch.float64)
    transition = -150 * (place - place.unsqueeze(-1)).abs()
    value = torch.tensor([0.0, 10.0, 20.0, 0.0, 10.0])

    def density(dtype):
        d = DiscreteHMM(torch.zeros(size, dtype=dtype), transition.to(dtype), dist.Normal(10 * place.to(dtype), 0.5))
        return d.log_prob(value.to(dtype))

    assert density(torch.float32).dtype == torch.float32
    forward, loc = -torch.tensor(float(size), dtype=torch.float64).log().expand(size), 10 * place
    for x in value:
        forward = (forward.unsqueeze(-1) + transition.log_softmax(-1)).logsumexp(-2)
        forward = forward + dist.Normal(loc, 0.5).log_prob(x.double())
    torch.testing.assert_close(density(torch.float64), forward.logsumexp(-1), rtol=1e-11, atol=0)
    torch.testing.assert_close(density(torch.float32).double(), forward.logsumexp(-1), rtol=2e-5, atol=0)


@MODELS
def test_draws_follow_the_density(shapes):
    """A chi-squared test over all 81 series of each model in the batch, 1e-8 each; and series of a batch differ."""
    d = model(shapes, "integers")
    count = 5000
    drawn = d.sample((count,))
    assert drawn.shape == (count, *d.batch_shape, STEPS)
    place = 3 ** torch.arange(STEPS)
    series = torch.tensor(list(itertools.product(range(3), repeat=STEPS)))
    probabilities = d.log_prob(series.reshape(-1, *[1] * len(d.batch_shape), STEPS)).exp().reshape(81, -1)
    torch.testing.assert_close(probabilities.sum(0), torch.ones_like(probabilities[0]))
    codes = (drawn * place).sum(-1).reshape(count, -1)
    for column in range(codes.shape[1]):
        seen = torch.bincount(codes[:, column], minlength=81)[(series * place).sum(-1)]
        expected = probabilities[:, column] * count
        merged = expected > 5
        seen = torch.cat([seen[merged], seen[~merged].sum(0, True)]).double()
        expected = torch.cat([expected[merged], expected[~merged].sum(0, True) + 1e-9])
        statistic = ((seen - expected).square() / expected).sum().item()
        assert scipy.stats.chi2.sf(statistic, len(seen) - 1) > 1e-8
    if codes.shape[1] > 1:
        assert not torch.equal(codes[:, 0], codes[:, 1])


def test_expand_copy_pickle_and_mask():
    d = model("mixed", "vectors")
    value = d.sample()
    expanded = d.expand((4, *d.batch_shape))
    assert type(expanded) is DiscreteHMM and expanded.sample((3,)).shape == (3, 4, *d.batch_shape, STEPS, 2)
    assert not torch.equal(*expanded.sample()[:2])
    torch.testing.assert_close(expanded.log_prob(value), d.log_prob(value).expand(expanded.batch_shape))
    for twin in (copy.deepcopy(d), pickle.loads(pickle.dumps(d))):
        assert torch.equal(twin.log_prob(value), d.log_prob(value))
    mask = torch.tensor([True, False, True, True, False])
    torch.testing.assert_close(d.mask(mask).log_prob(value), torch.where(mask, d.log_prob(value), 0.0))


def test_observations_may_be_missing():
    """With observations masked at some times, those times are summed out."""
    d = model("time", "integers")
    value = d.sample()
    known = torch.tensor([True, False, True, True])
    partial = DiscreteHMM(d.initial_logits, d.transition_logits, d.observation_dist.mask(known.unsqueeze(-1)))
    others = torch.stack([torch.where(known, value, x) for x in range(3)])
    torch.testing.assert_close(partial.log_prob(value), d.log_prob(others).logsumexp(0))


def test_length_and_errors():
    parts = (randn(2), randn(2, 2), dist.Normal(randn(2), 1.0))
    d = DiscreteHMM(*parts)
    assert d.duration is None and d.event_shape == (1,)
    told = DiscreteHMM(*parts, duration=6)
    value = told.sample((3,))
    torch.testing.assert_close(d.log_prob(value), told.log_prob(value))
    assert told.support.event_dim == 1
    with pytest.raises(UsageError, match="duration="):
        d.sample()
    with pytest.raises(ShapeError, match="must match event_shape"):
        told.log_prob(randn(5))
    with pytest.raises(SupportError):
        d.log_prob(torch.tensor([0.0, torch.nan], dtype=torch.float64))
    for wrong in (
        (torch.tensor(0.0), parts[1], parts[2]),
        (randn(3), parts[1], parts[2]),
        (parts[0], parts[1], dist.Normal(randn(3), 1.0)),
        (parts[0], parts[1], dist.Normal(0.0, 1.0)),
        (parts[0], randn(4, 2, 2), dist.Normal(randn(5, 2), 1.0)),
    ):
        with pytest.raises(ShapeError):
            DiscreteHMM(*wrong)
