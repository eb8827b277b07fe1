"""Straight-through relaxations: rounded values, the gradients and densities of relaxed ones."""

from __future__ import annotations

import pytest
import torch

from pyroxene.distributions.families.straight_through import (
    RelaxedBernoulliStraightThrough,
    RelaxedOneHotCategoricalStraightThrough,
)
from pyroxene.distributions.torch import RelaxedBernoulli, RelaxedOneHotCategorical

CASES = pytest.mark.parametrize(
    "cls, relaxed",
    [
        (RelaxedBernoulliStraightThrough, RelaxedBernoulli),
        (RelaxedOneHotCategoricalStraightThrough, RelaxedOneHotCategorical),
    ],
)
TEMPERATURE = torch.tensor(0.6, dtype=torch.float64)


def logits():
    return torch.tensor([[0.3, -1.0, 1.2], [0.0, 0.1, 2.0]], dtype=torch.float64, requires_grad=True)


def both(cls, relaxed, sample_shape=()):
    """A rounded draw and the relaxed draw of the same noise."""
    found = []
    for each in (cls, relaxed):
        torch.manual_seed(3)
        parameter = logits()
        d = each(TEMPERATURE, logits=parameter)
        found.append((d, parameter, d.rsample(sample_shape)))
    return found


@CASES
def test_values_are_rounded_and_gradients_relaxed(cls, relaxed):
    (d, parameter, value), (_, other, soft) = both(cls, relaxed, (5,))
    assert set(value.unique().tolist()) == {0.0, 1.0} and value.shape == soft.shape
    if relaxed is RelaxedBernoulli:
        assert torch.equal(value, soft.round())
    else:
        assert torch.equal(value.argmax(-1), soft.argmax(-1)) and torch.equal(
            value.sum(-1), torch.ones_like(value[..., 0])
        )
    weight = torch.randn(value.shape, dtype=torch.float64)
    mine = torch.autograd.grad((value * weight).sum(), parameter)[0]
    theirs = torch.autograd.grad((soft * weight).sum(), other)[0]
    torch.testing.assert_close(mine, theirs)
    assert d.has_rsample and type(d.expand((4, *d.batch_shape))) is cls


@CASES
def test_the_density_of_a_draw_is_that_of_the_relaxed_one(cls, relaxed):
    (d, _, value), (plain, _, soft) = both(cls, relaxed)
    torch.testing.assert_close(d.log_prob(value), plain.log_prob(soft))
    torch.testing.assert_close(d.log_prob(soft.detach()), plain.log_prob(soft.detach()))
    torch.manual_seed(3)
    assert torch.equal(d.sample(), soft.detach())  # as in Pyro, only a draw that bears gradients is rounded


@CASES
def test_frequencies_are_those_of_the_discrete_variable(cls, relaxed):
    """Six standard errors, a failure rate below 1e-8."""
    torch.manual_seed(0)
    d = cls(TEMPERATURE, logits=logits().detach())
    expected = torch.sigmoid(d.logits) if relaxed is RelaxedBernoulli else torch.softmax(d.logits, -1)
    count = 4000
    error = (expected * (1 - expected) / count).sqrt()
    assert ((d((count,)).mean(0) - expected).abs() < 6 * error).all()
