"""The coalescent against its definition, written out event by event, and its samplers against its density."""

from __future__ import annotations

import math
import types

import pytest
import torch

from pyroxene.distributions.coalescent import (
    CoalescentRateLikelihood,
    CoalescentTimes,
    CoalescentTimesConstraint,
    CoalescentTimesWithRate,
    _sample_coalescent_times,
    bio_phylo_to_times,
)
from pyroxene.distributions.testing import gof
from pyroxene.errors import ParameterError, ShapeError, SupportError

F64 = torch.float64
FAILURE = 1e-6


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(20260101)


def t(*values):
    return torch.tensor(values, dtype=F64)


def by_definition(leaf_times, coal_times, rate_at, cuts=()):
    """The log density, by stepping back through events and the times at which the rate changes."""
    events = [(time, 1) for time in leaf_times] + [(time, -1) for time in coal_times] + [(time, 0) for time in cuts]
    lineages, total, last = 0, 0.0, None
    for time, change in sorted(events, reverse=True):
        pairs = lineages * (lineages - 1) / 2
        if last is not None:
            total -= pairs * rate_at((time + last) / 2) * (last - time)
        if change == -1:
            total += math.log(pairs * rate_at(time))
        lineages, last = lineages + change, time
    return total


LEAVES = [[0.0, 0.0, 0.0], [4.0, 3.0, 3.0, 2.0], [0.3, 5.2, 1.1, 1.1, -2.0], [1.0, 0.0]]
GRID = [1.0, 2.0, 0.5, 5.0]


def rate_at(time):
    return GRID[min(max(math.floor(time), 0), len(GRID) - 1)]


@pytest.mark.parametrize("leaves", LEAVES, ids=str)
def test_density_is_that_of_the_definition(leaves):
    d = CoalescentTimes(t(*leaves), 1.7)
    value = d.sample((6,))
    assert d.support.check(value).all()
    expected = [by_definition(leaves, each, lambda _: 1.7) for each in value.tolist()]
    torch.testing.assert_close(d.log_prob(value), t(*expected), rtol=1e-12, atol=1e-12)
    changing = CoalescentTimesWithRate(t(*leaves), t(*GRID))
    value = changing.sample((6,))
    assert changing.support.check(value).all() and changing.duration == 4
    expected = [by_definition(leaves, each, rate_at, (1.0, 2.0, 3.0)) for each in value.tolist()]
    torch.testing.assert_close(changing.log_prob(value), t(*expected), rtol=1e-12, atol=1e-12)
    likelihood = CoalescentRateLikelihood(t(*leaves), value, 4)
    terms = likelihood(t(*GRID))
    assert terms.shape == (6, 4)
    torch.testing.assert_close(terms.sum(-1), t(*expected), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(likelihood(t(*GRID)[1:3], slice(1, 3)), terms[:, 1:3])
    torch.testing.assert_close(likelihood(t(*GRID)[2], 2), terms[:, 2])


@pytest.mark.parametrize(
    "d",
    [
        CoalescentTimes(t(0.0, 0.0), 2.0),
        CoalescentTimes(t(0.0, 0.2, -0.3), 1.5),
        CoalescentTimesWithRate(t(1.0, 3.5), t(0.3, 2.0, 0.7)),
        CoalescentTimesWithRate(t(2.5, 2.5, 2.5), t(0.3, 2.0, 0.7)),
    ],
    ids=lambda d: f"{type(d).__name__}-{d.event_shape[0]}",
)
def test_samples_have_the_density(d):
    x = d.sample((20000,))
    assert gof.auto_goodness_of_fit(x, d.log_prob(x).exp()) > FAILURE


def test_sampling_from_many_leaves():
    leaves = torch.zeros(3, 200, dtype=F64)
    times = _sample_coalescent_times(leaves)
    assert times.shape == (3, 199) and CoalescentTimesConstraint(leaves).check(times).all()
    # the time to the last common ancestor has mean 2 (1 - 1/n) and variance below 1.2
    roots = _sample_coalescent_times(torch.zeros(3000, 10, dtype=F64))[:, 0]
    assert abs(-roots.mean() - 1.8) < 5 * (1.2 / 3000) ** 0.5
    torch.manual_seed(1)
    a = CoalescentTimes(leaves[:, :5], t(1.0, 2.0, 4.0)).sample((2,))
    assert a.shape == (2, 3, 4)


def test_batches_and_float32():
    leaves = torch.randn(3, 1, 5)
    d = CoalescentTimes(leaves, torch.tensor([1.0, 2.0]))
    assert d.batch_shape == (3, 2) and d.sample((4,)).dtype == torch.float32
    assert CoalescentTimes.infer_shapes((3, 1, 5), (2,)) == (d.batch_shape, d.event_shape)
    value = d.sample((4,))
    wide = CoalescentTimes(leaves.double(), t(1.0, 2.0)).log_prob(value.double())
    torch.testing.assert_close(d.log_prob(value).double(), wide, rtol=2e-5, atol=2e-5)
    assert d.expand((7, 3, 2)).log_prob(value[0]).shape == (7, 3, 2)
    grid = CoalescentTimesWithRate(leaves, torch.rand(2, 6) + 0.5)
    assert grid.batch_shape == (3, 2) and grid.expand((4, 3, 2)).sample().shape == (4, 3, 2, 4)


def test_gradients():
    leaves, value, grid = t(4.3, 3.2, 3.1, 2.2), t(0.5, 1.5, 2.6), t(*GRID)
    inputs = [each.requires_grad_() for each in (leaves, value, grid)]

    def log_prob(a, b, c):
        return CoalescentTimesWithRate(a, c, validate_args=False).log_prob(b)

    assert torch.autograd.gradcheck(log_prob, inputs)
    rate = t(1.3).requires_grad_()
    assert torch.autograd.gradcheck(lambda r: CoalescentTimes(leaves.detach(), r).log_prob(value.detach()), rate)


@pytest.mark.parametrize(
    ("value", "ordered", "possible"),
    [
        ([-3.0, -2.5, -1.5], True, True),
        ([-3.0, -1.5, -1.2], True, True),
        ([-1.5, -2.5, -3.0], True, False),  # not ordered
        ([-1.5, -2.5, -3.0], False, True),
        ([-3.0, -2.5, -0.5], True, False),  # a single lineage at -0.5
        ([-3.0, -2.5, -1.0], True, False),  # at the very time at which others are sampled
        ([-3.0, -1.5, math.nan], True, False),
    ],
)
def test_constraint(value, ordered, possible):
    constraint = CoalescentTimesConstraint(t(0.0, -1.0, -1.0, -2.0), ordered=ordered)
    assert bool(constraint.check(t(*value))) is possible
    assert constraint.event_dim == 1


def test_what_is_impossible_has_no_density():
    d = CoalescentTimes(t(0.0, -1.0, -1.0, -2.0), validate_args=False)
    assert d.log_prob(t(-3.0, -2.5, -0.5)) == -math.inf
    with pytest.raises(SupportError, match="within the support"):
        CoalescentTimes(d.leaf_times, validate_args=True).log_prob(t(-3.0, -2.5, -0.5))
    with pytest.raises(SupportError, match="within the support"):
        CoalescentRateLikelihood(d.leaf_times, t(-3.0, -2.5, -0.5), 3, validate_args=True)
    with pytest.raises(ShapeError, match="one leaf more"):
        CoalescentRateLikelihood(d.leaf_times, t(-3.0, -2.5), 3)
    with pytest.raises(ParameterError, match="at least two"):
        CoalescentTimes(t(0.0))
    with pytest.raises(ParameterError):
        CoalescentTimes(d.leaf_times, -1.0, validate_args=True)


def clade(length, *clades):
    return types.SimpleNamespace(branch_length=length, clades=list(clades))


def test_times_of_a_phylogeny():
    tree = types.SimpleNamespace(root=clade(None, clade(1.0, clade(2.0), clade(0.5)), clade(4.0)))
    leaf_times, coal_times = bio_phylo_to_times(tree)
    assert leaf_times.tolist() == [1.5, 3.0, 4.0] and coal_times.tolist() == [0.0, 1.0]
    assert CoalescentTimesConstraint(leaf_times).check(coal_times)
    polytomy = types.SimpleNamespace(root=clade(0.0, clade(1.0), clade(2.0), clade(3.0)))
    assert bio_phylo_to_times(polytomy)[1].tolist() == [0.0, 0.0]
    dated = bio_phylo_to_times(tree, get_time=lambda c: 10.0 if c.clades else 11.0)
    assert dated[0].tolist() == [11.0] * 3 and dated[1].tolist() == [10.0] * 2
