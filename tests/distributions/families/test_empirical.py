"""Empirical beyond the contract."""

from __future__ import annotations

import pytest
import torch

import pyroxene.distributions as dist
from pyroxene.errors import ShapeError, SupportError


def test_moments_and_density_by_hand():
    weights = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
    samples = torch.tensor([1.0, 2.0, 2.0, 4.0], dtype=torch.float64)
    d = dist.Empirical(samples, weights.log() + 3.0)
    assert d.sample_size == 4 and torch.equal(d.log_weights, weights.log() + 3.0)
    torch.testing.assert_close(d.mean, (weights * samples).sum())
    torch.testing.assert_close(d.variance, (weights * (samples - d.mean) ** 2).sum())
    torch.testing.assert_close(
        d.log_prob(torch.tensor([1.0, 2.0, 3.0, 4.0])).exp(), torch.tensor([0.1, 0.5, 0.0, 0.4]).double()
    )
    assert torch.equal(d.enumerate_support(), samples)


def test_batches_and_events():
    torch.manual_seed(0)
    samples, log_weights = torch.randn(2, 3, 4, 5), torch.randn(2, 3)
    d = dist.Empirical(samples, log_weights)
    assert d.batch_shape == (2,) and d.event_shape == (4, 5) and d.sample_size == 6
    weights = log_weights.softmax(-1)
    torch.testing.assert_close(d.mean, torch.einsum("bs,bsij->bij", weights, samples))
    torch.testing.assert_close(d.log_prob(samples[:, 1]), weights[:, 1].log())
    mixed = torch.stack([samples[0, 2], samples[1, 0]])
    torch.testing.assert_close(
        d.log_prob(mixed.expand(7, 2, 4, 5)), torch.stack([weights[0, 2], weights[1, 0]]).log().expand(7, 2)
    )
    assert d.enumerate_support().shape == (3, 2, 4, 5)
    drawn = d.sample((6,))
    assert drawn.shape == (6, 2, 4, 5) and d.log_prob(drawn).isfinite().all()


def test_draws_are_those_of_pyro():
    """pyro-ppl 1.9.2 with this seed."""
    torch.manual_seed(0)
    drawn = dist.Empirical(torch.arange(24.0).reshape(2, 3, 4), torch.zeros(2, 3)).sample((2,))
    assert torch.equal(drawn[..., 0], torch.tensor([[8.0, 16.0], [8.0, 20.0]]))


def test_a_weight_of_zero_hides_its_sample():
    d = dist.Empirical(torch.tensor([torch.inf, 2.0]), torch.tensor([-torch.inf, 0.0]))
    assert d.mean == 2.0 and d.variance == 0.0


def test_mistakes():
    for samples, log_weights in [
        (torch.zeros(3), torch.zeros(2)),
        (torch.zeros(3), torch.zeros(3, 2)),
        (torch.zeros(()), torch.zeros(())),
    ]:
        with pytest.raises(ShapeError, match="leftmost shape"):
            dist.Empirical(samples, log_weights)
    with pytest.raises(ShapeError, match=r"value\.shape"):
        dist.Empirical(torch.zeros(2, 3), torch.zeros(2)).log_prob(torch.zeros(4))
    integers = dist.Empirical(torch.tensor([1, 2]), torch.zeros(2))
    assert integers.log_prob(torch.tensor(1)).exp() == 0.5
    for moment in ["mean", "variance"]:
        with pytest.raises(SupportError, match="discrete empirical distribution undefined"):
            getattr(integers, moment)
