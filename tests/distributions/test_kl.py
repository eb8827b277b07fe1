"""Closed divergences: each against an integral by samples of none, another closed form, or analysis."""

from __future__ import annotations

import math

import pytest
import torch
import torch.distributions as torchdist

import pyroxene.distributions as dist
from pyroxene.distributions import constraints
from pyroxene.distributions.kl import kl_divergence, register_kl


def normal(loc, scale, batch=(2,)):
    return dist.Normal(torch.full(batch, loc), torch.full(batch, scale))


def test_delta_against_anything_is_minus_the_density_there():
    v = torch.tensor([0.3, -0.7])
    q = normal(1.0, 2.0)
    assert torch.equal(kl_divergence(dist.Delta(v), q), -q.log_prob(v))
    assert torch.equal(kl_divergence(dist.Delta(v, log_density=1.5), q), 1.5 - q.log_prob(v))
    together = kl_divergence(dist.Delta(v, event_dim=1), q.to_event(1))
    torch.testing.assert_close(together, -q.log_prob(v).sum())
    mask = torch.tensor([True, False])
    assert torch.equal(kl_divergence(dist.Delta(v), q.mask(mask)), -q.mask(mask).log_prob(v))
    assert torch.equal(
        kl_divergence(dist.Delta(v), dist.ExpandedDistribution(normal(1.0, 2.0, ()), (2,))), -q.log_prob(v)
    )


def test_independents_share_what_they_can():
    p, q = dist.Normal(torch.randn(3, 2), 1.0), dist.Normal(torch.randn(3, 2), 2.0)
    expected = torchdist.kl_divergence(torchdist.Normal(p.loc, p.scale), torchdist.Normal(q.loc, q.scale))
    torch.testing.assert_close(kl_divergence(p.to_event(1), q.to_event(1)), expected.sum(-1))
    torch.testing.assert_close(kl_divergence(p.to_event(2), q.to_event(2)), expected.sum())


@pytest.mark.parametrize("swap", [False, True])
def test_independent_normals_and_a_multivariate_normal(swap):
    torch.manual_seed(0)
    loc, scale = torch.randn(4, 3, dtype=torch.float64), torch.rand(4, 3, dtype=torch.float64) + 0.5
    tril = torch.randn(3, 3, dtype=torch.float64).tril(-1) + torch.eye(3, dtype=torch.float64)
    diagonal = dist.Normal(loc, scale).to_event(1)
    full = dist.MultivariateNormal(torch.zeros(3, dtype=torch.float64), scale_tril=tril)
    as_full = torchdist.MultivariateNormal(loc, covariance_matrix=torch.diag_embed(scale**2))
    pair = (diagonal, full), (as_full, full)
    ours, reference = [(b, a) for a, b in pair] if swap else pair
    torch.testing.assert_close(kl_divergence(*ours), torchdist.kl_divergence(*reference))
    with pytest.raises(NotImplementedError):
        kl_divergence(dist.Laplace(loc, scale).to_event(1), full)


def test_masks():
    p, q = normal(0.0, 1.0), normal(1.0, 2.0)
    expected = kl_divergence(p, q)
    mask = torch.tensor([True, False])
    assert torch.equal(kl_divergence(p.mask(mask), q.mask(mask)), torch.where(mask, expected, 0.0))
    assert torch.equal(kl_divergence(p.mask(mask), q.mask(True)), torch.where(mask, expected, 0.0))
    assert torch.equal(kl_divergence(p.mask(True), q.mask(True)), expected)
    assert torch.equal(kl_divergence(p.mask(False), q.mask(mask)), torch.zeros(2))
    both = kl_divergence(p.mask(mask), q.mask(torch.tensor([[True], [False]])))
    assert torch.equal(both, torch.where(torch.tensor([[True, False], [False, False]]), expected, 0.0))
    with pytest.raises(NotImplementedError):
        kl_divergence(p.mask(mask), q)


def test_expanded_distributions():
    p, q = normal(0.0, 1.0, (1, 2)), normal(1.0, 2.0, (1, 2))
    wide = [dist.ExpandedDistribution(d, (3, 2)) for d in (p, q)]
    expected = kl_divergence(p, q).expand(3, 2)
    for first, second in [(wide[0], wide[1]), (wide[0], q), (p, wide[1])]:
        assert torch.equal(kl_divergence(first, second), expected)


def test_classes_of_ours_find_torchs_closed_forms():
    expected = torchdist.kl_divergence(torchdist.LogNormal(0.0, 1.0), torchdist.LogNormal(1.0, 2.0))
    assert torch.equal(kl_divergence(dist.LogNormal(0.0, 1.0), dist.LogNormal(1.0, 2.0)), expected)
    torch.testing.assert_close(
        kl_divergence(dist.Normal(0.0, 1.0), dist.Normal(0.0, 2.0)), torch.tensor(math.log(2) - 0.375)
    )


def test_register_kl_is_torchs():
    class Thing(dist.TorchDistribution):
        arg_constraints = {}
        support = constraints.real

    @register_kl(Thing, Thing)
    def _(p, q):
        return "found"

    assert torchdist.kl_divergence(Thing(), Thing()) == "found"
