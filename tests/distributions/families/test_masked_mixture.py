"""MaskedMixture: one of two distributions, entry by entry."""

from __future__ import annotations

import pytest
import torch

import pyroxene.distributions as dist
from pyroxene.distributions.families.masked_mixture import MaskedMixture
from pyroxene.errors import ParameterError, ShapeError, SupportError

MASK = torch.tensor([True, False])


def test_each_entry_is_of_its_component():
    d = MaskedMixture(MASK, dist.Normal(0.0, 1.0), dist.HalfNormal(torch.tensor([1.0, 2.0])))
    value = torch.tensor([0.5, -1.0])
    assert torch.equal(d.log_prob(value)[0], dist.HalfNormal(1.0).log_prob(value[0]))
    assert torch.equal(d.log_prob(value)[1], dist.Normal(0.0, 1.0).log_prob(value[1]))
    torch.testing.assert_close(d.mean, torch.tensor([(2 / torch.pi) ** 0.5, 0.0]))
    assert d.sample((100,))[:, 0].min() > 0 and d.has_rsample


def test_supports_that_differ():
    d = MaskedMixture(MASK, dist.Normal(0.0, 1.0), dist.HalfNormal(1.0))
    assert d.support.check(torch.tensor([-1.0, -1.0])).tolist() == [False, True]
    with pytest.raises(SupportError):
        d.log_prob(torch.tensor([-1.0, -1.0]))
    discrete = MaskedMixture(MASK, dist.Poisson(3.0), dist.Bernoulli(0.5))
    assert discrete.support.is_discrete and discrete.log_prob(torch.tensor([1.0, 7.0])).isfinite().all()


def test_gradients_are_finite_where_the_other_component_has_no_density():
    scale = torch.tensor(1.0, requires_grad=True)
    d = MaskedMixture(MASK, dist.Normal(0.0, scale), dist.LogNormal(0.0, scale))
    value = torch.tensor([2.0, -2.0], requires_grad=True)
    assert all(g.isfinite().all() for g in torch.autograd.grad(d.log_prob(value).sum(), [scale, value]))


def test_events():
    vectors = [dist.Normal(torch.zeros(3), s).to_event(1) for s in (1.0, 2.0)]
    d = MaskedMixture(MASK, *vectors)
    assert d.batch_shape == (2,) and d.event_shape == (3,) and d.sample((4,)).shape == (4, 2, 3)
    assert d.expand((5, 2)).log_prob(torch.zeros(3)).shape == (5, 2)


def test_mistakes():
    with pytest.raises(ParameterError, match="BoolTensor"):
        MaskedMixture(torch.ones(2), dist.Normal(0.0, 1.0), dist.Normal(0.0, 1.0))
    with pytest.raises(ShapeError, match="event_shape disagree"):
        MaskedMixture(MASK, dist.Normal(torch.zeros(3), 1.0).to_event(1), dist.Normal(0.0, 1.0))
