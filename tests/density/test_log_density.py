"""The log density as a pure function: equal to the trace's, differentiable, vmappable, picklable, and honest."""

from __future__ import annotations

import math
import pickle
import threading

import pytest
import torch

import pyroxene as pyro
import pyroxene.distributions as dist
from pyroxene import poutine, settings
from pyroxene.density import init_to_value, log_density
from pyroxene.errors import PlateError, SiteError, SupportError, UsageError

Y = torch.tensor([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
SIGMA = torch.tensor([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])


def schools(sigma, y=None):
    mu = pyro.sample("mu", dist.Normal(0.0, 5.0))
    tau = pyro.sample("tau", dist.HalfCauchy(5.0))
    with pyro.plate("J", len(sigma)):
        eta = pyro.sample("eta", dist.Normal(0.0, 1.0))
        pyro.sample("y", dist.Normal(mu + tau * eta, sigma), obs=y)


def test_value_is_written_out_by_hand():
    density = log_density(schools, SIGMA.double(), Y.double())
    z = torch.randn(10, dtype=torch.float64)
    mu, log_tau, eta = z[0], z[1], z[2:]
    normal = torch.distributions.Normal
    expected = (
        normal(0.0, 5.0).log_prob(mu)
        + torch.distributions.HalfCauchy(torch.tensor(5.0, dtype=torch.float64)).log_prob(log_tau.exp())
        + log_tau
        + normal(0.0, 1.0).log_prob(eta).sum()
        + normal(mu + log_tau.exp() * eta, SIGMA.double()).log_prob(Y.double()).sum()
    )
    assert torch.allclose(density(z), expected, atol=1e-6)


def test_value_is_the_traces_plus_jacobian_with_scale_and_mask():
    mask = torch.tensor([True, False, True])

    def model(y):
        s = pyro.sample("s", dist.Gamma(2.0, 2.0))
        with pyro.plate("p", 3), poutine.scale(scale=2.5), poutine.mask(mask=mask):
            x = pyro.sample("x", dist.Normal(0.0, s))
            pyro.sample("y", dist.Normal(x, 1.0), obs=y)
        pyro.factor("f", -s)
        pyro.deterministic("d", s * 2)

    y = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    density = log_density(model, y)
    z = torch.randn(4, dtype=torch.float64)
    values = density.constrain(z)
    trace = poutine.trace(poutine.condition(model, data=values)).get_trace(y)
    assert torch.allclose(density(z), trace.log_prob_sum() + z[0], atol=1e-10)


def test_value_and_grad_agree_with_torch_func():
    density = log_density(schools, SIGMA, Y)
    z = torch.randn(10, dtype=torch.float64)
    value, gradient = density.value_and_grad(z)
    func_gradient, func_value = torch.func.grad_and_value(density)(z)
    assert torch.allclose(value, func_value) and torch.allclose(gradient, func_gradient)
    assert torch.autograd.gradcheck(density, (z.requires_grad_(),))
    assert not value.requires_grad


def test_vmap_is_a_loop():
    density = log_density(schools, SIGMA, Y)
    z = torch.randn(6, 10, dtype=torch.float64)
    looped = torch.stack([density(row) for row in z])
    assert torch.allclose(torch.func.vmap(density)(z), looped)
    gradients = torch.func.vmap(torch.func.grad(density))(z)
    assert torch.allclose(gradients[4], density.value_and_grad(z[4])[1])


def test_validation_is_off_inside_and_restored_after():
    density = log_density(schools, SIGMA, Y)
    density(torch.full((10,), float("nan")))
    assert settings.get("validate_distributions_torch") is True
    with pytest.raises(UsageError, match="z does not fit"):
        density(torch.zeros(3))
    threads = [threading.Thread(target=lambda: [density(torch.zeros(10)) for _ in range(20)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert settings.get("validate_distributions_torch") is True


def test_with_data_uses_new_data_and_refuses_unknown_names():
    density = log_density(schools, SIGMA, y=Y)
    z = torch.randn(10)
    assert torch.allclose(density.with_data(y=Y + 1)(z), log_density(schools, SIGMA, Y + 1)(z))
    assert density.with_data(y=Y + 1)(z) != density(z)
    with pytest.raises(UsageError, match="no argument 'data'"):
        density.with_data(data=Y)


def test_arguments_of_every_kind():
    def model(a, /, b, *more, c=1.0, **rest):
        x = pyro.sample("x", dist.Normal(a + b + sum(more) + c + rest.get("d", 0.0), 1.0))
        return x

    z = torch.zeros(1)
    expected = dist.Normal(1.0 + 2 + 3 + 4 + 5, 1.0).log_prob(torch.zeros(()))
    assert torch.allclose(log_density(model, 1.0, 2.0, 3.0, c=4.0, d=5.0)(z), expected)

    def star(b, *more, c=1.0, **rest):
        return model(0.0, b, *more, c=c, **rest)

    assert torch.allclose(log_density(star, 2.0, 3.0, c=4.0, d=6.0)(z), expected)


def test_initial_point():
    density = log_density(schools, SIGMA, Y)
    first, second = density.initial_point(rng=3), density.initial_point(rng=3)
    assert torch.equal(first, second) and first.shape == (10,) and first.abs().max() <= 2
    state = torch.get_rng_state()
    density.initial_point(rng=5)
    assert torch.equal(torch.get_rng_state(), state)
    values = {"mu": torch.tensor(1.5), "tau": torch.tensor(2.0), "eta": torch.ones(8)}
    z = density.initial_point(init_to_value(values=values))
    assert torch.allclose(density.constrain(z)["tau"], torch.tensor(2.0))


def test_it_pickles():
    density = log_density(schools, SIGMA, Y)
    again = pickle.loads(pickle.dumps(density))
    z = torch.randn(10)
    assert torch.equal(again(z), density(z))


def test_outer_handlers_do_not_see_it_or_change_it():
    density = log_density(schools, SIGMA, Y)
    z = torch.randn(10)
    plain = density(z)
    with poutine.trace() as outer, poutine.scale(scale=3.0):
        inside = density(z)
    assert torch.equal(inside, plain) and len(outer.trace) == 0


def test_parameters_are_constants():
    def model():
        loc = pyro.param("loc", torch.tensor(1.0))
        pyro.sample("x", dist.Normal(loc, 1.0))

    density = log_density(model)
    before = density(torch.zeros(1)).detach()
    pyro.get_param_store()["loc"] = torch.tensor(0.0)
    assert torch.allclose(density(torch.zeros(1)), before + 0.5)


def test_what_it_refuses():
    def subsampled():
        with pyro.plate("p", 10, subsample_size=3):
            pyro.sample("x", dist.Normal(0.0, 1.0))

    def discrete():
        pyro.sample("k", dist.Categorical(torch.ones(3)))

    def changing():
        x = pyro.sample("x", dist.Normal(0.0, 1.0))
        if x > 5:
            pyro.sample("extra", dist.Normal(0.0, 1.0))

    def vanishing():
        x = pyro.sample("x", dist.Normal(0.0, 1.0))
        if x < 5:
            pyro.sample("y", dist.Normal(0.0, 1.0))

    with pytest.raises(PlateError, match="plate 'p' subsamples"):
        log_density(subsampled)
    with pytest.raises(SupportError, match="discrete sample site 'k'"):
        log_density(discrete)
    with pytest.raises(SiteError, match="latent site 'extra' was not there"):
        log_density(changing)(torch.full((1,), 9.0))
    with pytest.raises(SiteError, match="latent sites are missing"):
        log_density(vanishing)(torch.full((2,), 9.0))


def test_float64_stays_float64_through_a_prior_of_python_numbers():
    z = torch.tensor([0.1], dtype=torch.float64)
    for prior in (
        dist.HalfCauchy(0.3),
        dist.HalfNormal(0.3),
        dist.Gamma(0.3, 0.7),
        dist.Beta(0.3, 0.7),
        dist.LogNormal(0.3, 0.7),
    ):
        density = log_density(lambda prior=prior: pyro.sample("x", prior))
        # the density of float64 at two points closer than float32 can tell apart
        assert density(z) != density(z + 1e-10)


@pytest.mark.parametrize("engine", ["eager", "native"])
def test_what_is_observed_of_a_site_has_its_priors_density(engine):
    """Its latent twin would be a flat direction otherwise: chains drift to infinity in it."""
    data, known = torch.tensor([1.0, math.nan, 2.0, math.nan]), torch.tensor([True, False, True, False])

    def model():
        loc = pyro.sample("loc", dist.Normal(0.0, 1.0))
        with pyro.plate("rows", 4):
            pyro.sample("x", dist.Normal(loc, 2.0), obs=data, obs_mask=known)

    density = log_density(model).compiled(engine)
    z = torch.tensor([0.3, 1.0, -1.0, 0.5, 2.0], dtype=torch.float64)
    normal = torch.distributions.Normal(z[0], 2.0)
    expected = torch.distributions.Normal(0.0, 1.0).log_prob(z[0]) + normal.log_prob(z[1:]).sum()
    expected = expected + normal.log_prob(data[known].double()).sum()
    value, gradient = density.value_and_grad(z)
    assert value.item() == pytest.approx(expected.item(), rel=1e-7) and (gradient != 0).all()
    for everything in (True, torch.ones(4, dtype=torch.bool)):

        def whole(everything=everything):
            with pyro.plate("rows", 4):
                pyro.sample("x", dist.Normal(0.0, 2.0), obs=torch.ones(4), obs_mask=everything)

        _, gradient = log_density(whole).compiled(engine).value_and_grad(z[1:])
        assert (gradient != 0).all()
