"""Delta beyond the contract."""

from __future__ import annotations

import pytest
import torch

import pyroxene.distributions as dist
from pyroxene.errors import ParameterError, ShapeError


@pytest.mark.parametrize("event_dim", [0, 1, 2])
def test_density_is_at_the_value_alone(event_dim):
    v = torch.arange(6.0).reshape(2, 3)
    d = dist.Delta(v, log_density=2.0, event_dim=event_dim)
    assert d.batch_shape == v.shape[: 2 - event_dim] and d.event_shape == v.shape[2 - event_dim :]
    assert torch.equal(d.log_prob(v), torch.full(d.batch_shape, 2.0))
    off = v + torch.tensor([1.0, 0.0, 0.0])
    hit = (off == v).reshape((*d.batch_shape, -1)).all(-1)
    assert torch.equal(d.log_prob(off), torch.where(hit, 2.0, -torch.inf))
    assert torch.equal(d(), v) and d((4,)).shape == (4, 2, 3)
    assert torch.equal(d.mean, v) and torch.equal(d.variance, torch.zeros(2, 3))


def test_gradients_reach_value_and_log_density():
    v = torch.randn(3, requires_grad=True)
    log_density = torch.randn(3, requires_grad=True)
    d = dist.Delta(v, log_density)
    gradients = torch.autograd.grad((d() * 2).sum() + d.log_prob(d()).sum(), [v, log_density])
    assert torch.equal(gradients[0], torch.full((3,), 2.0)) and torch.equal(gradients[1], torch.ones(3))


def test_log_density_broadcasts_with_the_batch():
    assert dist.Delta(torch.zeros(3, 2), torch.tensor(1.0), event_dim=1).log_density.shape == (3,)
    assert dist.Delta(torch.zeros(3), 1.0).log_density.equal(torch.ones(3))
    wide = dist.Delta(torch.zeros(3), torch.zeros(4, 1))
    assert wide.batch_shape == (4, 3) and wide().shape == (4, 3)
    grown = dist.Delta(torch.zeros(3), torch.ones(3)).expand((4, 3))
    assert torch.equal(grown.log_prob(torch.zeros(3)), torch.ones(4, 3))


def test_values_of_other_types():
    assert dist.Delta(torch.tensor(1)).log_prob(torch.tensor(1)).equal(torch.tensor(0.0))
    assert dist.Delta(torch.tensor(1.0, dtype=torch.float64)).log_prob(torch.tensor(1.0)).dtype == torch.float64
    assert dist.Delta(2.5)().equal(torch.tensor(2.5))
    assert dist.Delta(torch.tensor(True)).log_prob(torch.tensor(False)) == -torch.inf


def test_mistakes():
    with pytest.raises(ShapeError, match=r"event_dim <= v.dim\(\), actual 2 vs 1"):
        dist.Delta(torch.zeros(3), event_dim=2)
    with pytest.raises(ShapeError, match="shape mismatch"):
        dist.Delta(torch.zeros(3), torch.zeros(2))
    with pytest.raises(ShapeError, match="event_shape"):
        dist.Delta(torch.zeros(3), event_dim=1).log_prob(torch.zeros(1))
    with pytest.raises(ParameterError, match="nan"):
        dist.Delta(torch.zeros(2), torch.tensor([0.0, torch.nan]))
    dist.Delta(torch.zeros(2), torch.tensor([0.0, torch.nan]), validate_args=False)


def test_infer_shapes():
    assert dist.Delta.infer_shapes((4, 3), log_density=(2, 4), event_dim=1) == ((2, 4), (3,))
