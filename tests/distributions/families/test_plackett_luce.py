"""Plackett and Luce's distribution of rankings."""

from __future__ import annotations

import pickle

import pytest
import scipy.stats
import torch

from pyroxene.distributions.families.plackett_luce import PlackettLuce, permutation
from pyroxene.errors import ParameterError, SupportError, UnsupportedError

SCORES = torch.tensor([1.0, 2.5, 0.5, 4.0], dtype=torch.float64)


def test_probabilities_are_products_of_choices():
    d = PlackettLuce(SCORES)
    values = d.enumerate_support()
    assert values.shape == (24, 4) and permutation.check(values).all()
    for value in values:
        left, expected = SCORES.sum(), 1.0
        for item in value:
            expected = expected * SCORES[item] / left
            left = left - SCORES[item]
        torch.testing.assert_close(d.log_prob(value).exp(), expected)
    torch.testing.assert_close(d.log_prob(values).exp().sum().item(), 1.0)
    assert torch.equal(values[d.log_prob(values).argmax()], d.mode)
    torch.testing.assert_close(PlackettLuce(logits=SCORES.log() + 300).log_prob(values), d.log_prob(values))


def test_samples_follow_the_probabilities():
    """A chi-squared test at a failure rate of 1e-6."""
    torch.manual_seed(0)
    d = PlackettLuce(SCORES[:3])
    samples = d.sample((6000,))
    values = d.enumerate_support()
    observed = (samples[:, None] == values).all(-1).sum(0).double()
    expected = d.log_prob(values).exp() * 6000
    assert scipy.stats.chi2.sf(((observed - expected) ** 2 / expected).sum().item(), 5) > 1e-6


def test_extreme_scores_keep_gradients_finite():
    logits = torch.tensor([0.0, 800.0, -800.0], dtype=torch.float64, requires_grad=True)
    log_prob = PlackettLuce(logits=logits).log_prob(torch.tensor([2, 0, 1]))
    assert log_prob.item() == pytest.approx(-1600 - 800)
    assert torch.autograd.grad(log_prob, logits)[0].isfinite().all()
    leaf = SCORES.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda s: PlackettLuce(s).log_prob(torch.tensor([3, 0, 2, 1])), leaf)


def test_shapes_and_errors():
    d = PlackettLuce(SCORES.expand(2, 4))
    assert (
        (d.batch_shape, d.event_shape) == PlackettLuce.infer_shapes((2, 4)) == PlackettLuce.infer_shapes(logits=(2, 4))
    )
    assert d.expand((3, 2)).sample((5,)).shape == (5, 3, 2, 4) and d.enumerate_support(False).shape == (24, 1, 4)
    assert pickle.loads(pickle.dumps(permutation)) == permutation
    with pytest.raises(ParameterError, match="but not both"):
        PlackettLuce()
    with pytest.raises(ParameterError, match="scores"):
        PlackettLuce(-SCORES, validate_args=True)
    with pytest.raises(SupportError, match="PlackettLuce"):
        PlackettLuce(SCORES, validate_args=True).log_prob(torch.tensor([0, 0, 1, 2]))
    with pytest.raises(UnsupportedError, match="rankings"):
        PlackettLuce(torch.ones(9)).enumerate_support()
