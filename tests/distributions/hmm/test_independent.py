"""IndependentHMM: the product of its univariate models."""

from __future__ import annotations

import pytest
import torch

import pyroxene.distributions as dist
from pyroxene.distributions.hmm import GaussianHMM, IndependentHMM, LinearHMM
from pyroxene.errors import ShapeError
from tests.distributions.hmm.systems import dense, randn


def univariate(*batch, cls=GaussianHMM):
    return cls(dense(2, *batch), randn(2, 2) / 2, dense(2, *batch, 5), randn(2, 1), dense(1, 5))


def test_density_is_the_product():
    torch.manual_seed(0)
    base = univariate(4, 3)
    d = IndependentHMM(base)
    assert d.batch_shape == (4,) and d.event_shape == (5, 3) and d.duration == 5 and d.has_rsample
    value = d.rsample((6,))
    assert value.shape == (6, 4, 5, 3)
    each = torch.stack([base.log_prob(value[..., None, :, i : i + 1])[..., i] for i in range(3)])
    torch.testing.assert_close(d.log_prob(value), each.sum(0))
    expanded = d.expand((7, 4))
    assert type(expanded) is IndependentHMM and expanded.sample().shape == (7, 4, 5, 3)
    torch.testing.assert_close(expanded.log_prob(value[0]), d.log_prob(value[0]).expand(7, 4))
    assert d.support.check(value).all()


def test_draws_are_those_of_the_base():
    base = univariate(3, cls=LinearHMM)
    torch.manual_seed(0)
    value = IndependentHMM(base).sample((2,))
    torch.manual_seed(0)
    torch.testing.assert_close(value, base.sample((2,)).squeeze(-1).mT)


def test_what_does_not_fit_is_refused():
    for wrong in (univariate(), dist.Normal(torch.zeros(3), 1.0), dist.Normal(torch.zeros(4, 3, 2), 1.0).to_event(2)):
        with pytest.raises(ShapeError, match="univariate"):
            IndependentHMM(wrong)
    with pytest.raises(ShapeError):
        IndependentHMM(univariate(3)).log_prob(randn(5, 1))
    with pytest.raises(ShapeError):
        IndependentHMM(univariate(3)).log_prob(randn(4, 3))
