"""Distributions made by transforms: their base, their caches."""

from __future__ import annotations

import pickle

import pytest
import torch
import torch.distributions as torchdist
from torch.distributions import transforms as torchtransforms

import pyroxene.distributions as dist

ONE = torch.ones(2)
MADE_BY_TRANSFORMS = [
    dist.Gumbel(ONE, ONE),
    dist.HalfCauchy(ONE),
    dist.HalfNormal(ONE),
    dist.InverseGamma(ONE, ONE),
    dist.Kumaraswamy(ONE, ONE),
    dist.LogNormal(ONE, ONE),
    dist.LogisticNormal(ONE, ONE),
    dist.Pareto(ONE, ONE),
    dist.RelaxedBernoulli(torch.tensor(0.5), logits=ONE),
    dist.RelaxedOneHotCategorical(torch.tensor(0.5), logits=ONE),
    dist.Weibull(ONE, ONE),
    dist.TransformedDistribution(dist.Normal(ONE, ONE), torchtransforms.StickBreakingTransform()),
    dist.TransformedDistribution(torchdist.Normal(ONE, ONE), [torchtransforms.ExpTransform()]),
    dist.FoldedDistribution(torchdist.Normal(ONE, ONE)),
    dist.Independent(torchdist.Normal(ONE, ONE), 1),
]


@pytest.mark.parametrize("d", MADE_BY_TRANSFORMS, ids=lambda d: type(d).__name__)
def test_the_base_is_of_ours_and_makes_the_same_draws(d):
    base = d.base_dist
    while True:
        assert isinstance(base, dist.TorchDistributionMixin), type(base)
        if not hasattr(base, "base_dist"):
            break
        base = base.base_dist
    torch.manual_seed(0)
    x = d.base_dist((3,))
    for transform in getattr(d, "transforms", ()):
        x = transform(x)
    torch.manual_seed(0)
    assert torch.equal(d((3,)), x)
    assert isinstance(d.expand((4, *d.batch_shape)).base_dist, dist.TorchDistributionMixin)
    assert d.base_dist.mask(False).log_prob(d.base_dist()).sum() == 0
    assert type(pickle.loads(pickle.dumps(d)).base_dist) is type(d.base_dist)


def test_a_torch_distribution_given_as_base_is_left_alone():
    base = torchdist.Normal(ONE, ONE)
    d = dist.TransformedDistribution(base, [torchtransforms.ExpTransform()])
    assert type(base) is torchdist.Normal and type(d.base_dist) is dist.Normal
    assert d.base_dist.loc is base.loc
    ours = dist.Normal(ONE, ONE)
    assert dist.TransformedDistribution(ours, [torchtransforms.ExpTransform()]).base_dist is ours


@pytest.mark.parametrize(
    "make",
    [
        lambda part: part,
        lambda part: part.inv,
        lambda part: torchtransforms.ComposeTransform([torchtransforms.ExpTransform().inv, part]),
        lambda part: torchtransforms.IndependentTransform(part, 1, cache_size=1),
        lambda part: torchtransforms.StackTransform([part, part], dim=-1),
        lambda part: (
            torchtransforms.ComposeTransform([torchtransforms.IndependentTransform(part, 1, cache_size=1)]).inv
        ),
    ],
    ids=["itself", "inverse", "compose", "independent", "stack", "nested"],
)
def test_clear_cache_reaches_every_transform(make):
    part = torchtransforms.AffineTransform(0.0, 2.0, cache_size=1)
    d = dist.TransformedDistribution(dist.Uniform(torch.ones(2), 2.0), [make(part)])
    d.sample()
    part(torch.ones(2))
    assert part._cached_x_y != (None, None)
    d.clear_cache()
    assert part._cached_x_y == (None, None)


def test_mixture_same_family_expands_to_its_own_class():
    d = dist.MixtureSameFamily(dist.Categorical(torch.ones(2)), dist.Normal(torch.tensor([-1.0, 1.0]), 1.0))
    assert type(d.expand((3,))) is dist.MixtureSameFamily
    assert type(d.expand((3,)).component_distribution) is dist.Normal
