"""Trace_ELBO: gradients through values and by score functions, weighed within plates."""

from __future__ import annotations

import math

import pytest
import torch

import pyroxene as pyro
import pyroxene.distributions as dist
from pyroxene import poutine
from pyroxene.distributions import constraints
from pyroxene.distributions.testing.fakes import NonreparameterizedNormal
from pyroxene.infer import Trace_ELBO, TraceGraph_ELBO
from tests.infer.elbo.conjugate import (
    DATA,
    chain,
    chain_gradient,
    chain_guide,
    gradient,
    normal_gradients,
    normal_guide,
    normal_model,
)

BOTH = pytest.mark.parametrize("make", [Trace_ELBO, TraceGraph_ELBO])
ONE_AND_MANY = pytest.mark.parametrize(
    "options", [{}, {"num_particles": 30, "vectorize_particles": True}], ids=["one", "vectorised"]
)


@ONE_AND_MANY
@BOTH
def test_score_functions_give_the_reparametrised_gradient(make, options, z_scores):
    elbo, guide = make(**options), normal_guide(NonreparameterizedNormal)
    assert (z_scores(lambda: gradient(elbo, normal_model, guide), normal_gradients(), 250).abs() < 7).all()


@ONE_AND_MANY
@BOTH
def test_discrete_gradients_are_those_of_enumeration(make, options, z_scores):
    elbo, guide = make(**options), chain_guide()
    assert (z_scores(lambda: gradient(elbo, chain, guide), chain_gradient(), 250).abs() < 7).all()


@ONE_AND_MANY
@BOTH
def test_counts_in_a_plate(make, options, z_scores):
    """k ~ Poisson(2), y ~ N(k, 2), q(k) = Poisson(r): loss r log(r / 2) - r + ((y - r)^2 + r) / 8 + const."""
    y, r = torch.tensor([1.0, 3.0, 4.0]), torch.tensor([1.5, 2.0, 3.0])

    def model():
        with pyro.plate("p", 3):
            k = pyro.sample("k", dist.Poisson(2.0))
            pyro.sample("y", dist.Normal(k, 2.0), obs=y)

    def guide():
        with pyro.plate("p", 3):
            pyro.sample("k", dist.Poisson(pyro.param("r", r, constraint=constraints.positive)))

    exact = r * ((r / 2).log() + (2 * (r - y) + 1) / 8)  # times r: the gradient is of log r
    elbo = make(**options)
    assert (z_scores(lambda: gradient(elbo, model, guide), exact, 250).abs() < 7).all()


@BOTH
def test_sequential_plates(make, z_scores):
    """Each a_i ~ Bernoulli(0.4) meets two observations N(a_i, 1); its gradient is dp/dlogit times the difference."""
    p = torch.tensor([0.3, 0.6])

    def model():
        for i in pyro.plate("outer", 2):
            a = pyro.sample(f"a{i}", dist.Bernoulli(0.4))
            for j in pyro.plate(f"inner{i}", 2):
                pyro.sample(f"y{i}{j}", dist.Normal(a, 1.0), obs=DATA[2 * i + j])

    def guide():
        q = pyro.param("q", p, constraint=constraints.unit_interval)
        for i in pyro.plate("outer", 2):
            pyro.sample(f"a{i}", dist.Bernoulli(q[i]))

    pairs = DATA[:4].reshape(2, 2)
    worth = math.log(0.4 / 0.6) + (pairs**2 - (pairs - 1) ** 2).sum(-1) / 2 - torch.logit(p)
    exact = -p * (1 - p) * worth
    assert (z_scores(lambda: gradient(make(), model, guide), exact, 250).abs() < 7).all()


@BOTH
def test_minibatches_by_score_functions(make, z_scores):
    """q(z_i) = N(m_i, 0.9) against N(0, 1) and y_i ~ N(z_i, 1), two of six at a time: gradient 2 m - y."""

    def model():
        with pyro.plate("p", 6, subsample_size=2) as index:
            z = pyro.sample("z", dist.Normal(0.0, 1.0))
            pyro.sample("y", dist.Normal(z, 1.0), obs=DATA[index])

    def guide():
        locs = pyro.param("locs", 0.3 * DATA)
        with pyro.plate("p", 6, subsample_size=2) as index:
            pyro.sample("z", NonreparameterizedNormal(locs[index], 0.9))

    elbo = make(num_particles=20, vectorize_particles=True)
    assert (z_scores(lambda: gradient(elbo, model, guide), 2 * 0.3 * DATA - DATA, 250).abs() < 7).all()


@BOTH
def test_masks_and_scales_reach_score_functions(make, z_scores):
    keep = torch.tensor([True, False, True])

    def half(loc, kind, obs):
        with pyro.plate("p", 3), poutine.mask(mask=keep), poutine.scale(scale=2.5):
            z = pyro.sample("z", kind(loc, 1.0))
            if obs is not None:
                pyro.sample("y", dist.Normal(z, 1.0), obs=obs)

    def model():
        half(torch.zeros(3), dist.Normal, DATA[:3])

    def guide():
        half(pyro.param("loc", 0.4 * torch.ones(3)), NonreparameterizedNormal, None)

    exact = 2.5 * keep * (2 * 0.4 - DATA[:3])  # of 2.5 KL: the scale weighs the costs, not the score too
    elbo = make(num_particles=30, vectorize_particles=True)
    assert (z_scores(lambda: gradient(elbo, model, guide), exact, 250).abs() < 7).all()


def test_elements_of_a_plate_meet_their_own_costs_alone():
    """The gradient of an element does not change with what is observed at another."""

    def program(y):
        def model():
            with pyro.plate("p", 2):
                z = pyro.sample("z", dist.Normal(0.0, 1.0))
                pyro.sample("y", dist.Normal(z, 1.0), obs=y)

        def guide():
            with pyro.plate("p", 2):
                pyro.sample("z", NonreparameterizedNormal(pyro.param("loc", torch.zeros(2)), 1.0))

        pyro.set_rng_seed(0)
        return gradient(Trace_ELBO(), model, guide)

    near, far = program(torch.tensor([1.0, 1.0])), program(torch.tensor([1.0, 100.0]))
    assert near[0] == far[0] and near[1] != far[1]


def test_a_site_that_is_masked_out_may_be_anything():
    def model(y):
        x = pyro.sample("x", dist.Normal(0.0, 1.0))
        if y is not None:
            with poutine.mask(mask=False):
                pyro.sample("y", dist.Normal(x, 1.0, validate_args=False), obs=y)

    losses = []
    for y in (None, torch.tensor(math.nan)):
        pyro.set_rng_seed(1)
        losses.append(Trace_ELBO().loss(model, normal_guide(), y))
    assert losses[0] == losses[1] and math.isfinite(losses[0])
