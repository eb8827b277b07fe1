"""The interface that every distribution bears."""

from __future__ import annotations

import pytest
import torch

import pyroxene.distributions as dist
from pyroxene.errors import UsageError


class Coin(dist.Distribution):
    """Without shapes: what the base class asks for and no more."""

    def __call__(self):
        return self.sample()

    def sample(self):
        return torch.randint(2, ())

    def log_prob(self, x):
        return torch.full(x.shape, 0.5).log()


def test_a_minimal_distribution():
    coin = Coin()
    value = coin()
    parts = coin.score_parts(value)
    assert parts.score_function is parts.log_prob and parts.entropy_term == 0
    assert not coin.has_rsample and not coin.has_enumerate_support
    for method in [coin.enumerate_support, lambda: coin.conjugate_update(coin)]:
        with pytest.raises(NotImplementedError, match="Coin"):
            method()


def test_methods_that_are_not_defined_say_so():
    for method in [dist.Distribution(), dist.Distribution().sample, lambda: dist.Distribution().log_prob(0)]:
        with pytest.raises(NotImplementedError, match="Distribution does not define"):
            method()


def test_has_rsample_chooses_how_a_call_draws():
    d = dist.Normal(torch.tensor(0.0, requires_grad=True), 1.0)
    assert d().requires_grad
    assert d.has_rsample_(False) is d
    assert not d.has_rsample and not d().requires_grad
    assert d.score_parts(torch.tensor(0.0)).entropy_term == 0
    with pytest.raises(UsageError, match="actual 1"):
        d.has_rsample_(1)


def test_has_rsample_reaches_through_wrappers():
    for wrap in [lambda d: d.to_event(1), lambda d: d.mask(True), lambda d: d.to_event(1).mask(False)]:
        d = wrap(dist.Normal(torch.zeros(2), 1.0))
        assert d.has_rsample and not d.has_rsample_(False).has_rsample
