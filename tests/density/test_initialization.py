"""Strategies that start latent sites, and the handler that applies them."""

from __future__ import annotations

import functools

import pytest
import torch

import pyroxene as pyro
import pyroxene.distributions as dist
from pyroxene.density import (
    InitMessenger,
    init_to_feasible,
    init_to_generated,
    init_to_mean,
    init_to_median,
    init_to_sample,
    init_to_uniform,
    init_to_value,
)
from pyroxene.errors import ShapeError, SupportError


def model():
    pyro.sample("x", dist.Normal(3.0, 1.0))
    pyro.sample("s", dist.Gamma(4.0, 2.0))
    pyro.sample("w", dist.Dirichlet(torch.tensor([1.0, 2.0, 3.0])))
    pyro.sample("heavy", dist.Cauchy(0.0, 1.0))
    with pyro.plate("p", 2):
        pyro.sample("z", dist.Exponential(1.0))


def start(strategy):
    trace = pyro.poutine.trace(InitMessenger(strategy)(model)).get_trace()
    return {name: site["value"] for name, site in trace.iter_stochastic_nodes()}


def test_feasible_is_the_middle_of_the_support():
    values = start(init_to_feasible)
    assert values["x"] == 0 and values["s"] == 1
    assert torch.allclose(values["w"], torch.full((3,), 1 / 3)) and torch.equal(values["z"], torch.ones(2))


def test_mean_and_its_fallback():
    values = start(init_to_mean)
    assert values["x"] == 3 and values["s"] == 2 and torch.allclose(values["w"], torch.tensor([1.0, 2.0, 3.0]) / 6)
    assert values["heavy"].isfinite()  # a Cauchy has no mean: the median of draws
    with pytest.raises(ValueError, match="mean of site 'heavy' is not finite"):
        start(init_to_mean(fallback=None))


def test_median_of_many_draws_is_the_median():
    # standard error of a median of n draws is about 1.25 / sqrt(n) = 0.0125: 0.1 is eight of them
    assert abs(start(init_to_median(num_samples=10_000))["x"] - 3) < 0.1


def test_median_falls_back_where_nothing_can_be_drawn():
    def improper():
        pyro.sample("u", dist.ImproperUniform(dist.constraints.positive, (), ()))

    with InitMessenger(init_to_value(values={"u": torch.tensor(2.0)})):
        assert pyro.sample("u", dist.ImproperUniform(dist.constraints.positive, (), ())) == 2
    with pytest.raises((NotImplementedError, ValueError)), InitMessenger(init_to_median(fallback=None)):
        improper()


def test_improper_sites_start_on_their_supports():
    """They cannot be drawn from; Stan's flat priors are such."""

    def flat():
        with pyro.plate("p", 2):
            pyro.sample("x", dist.ImproperUniform(dist.constraints.real_vector, (2,), (3,)))
            pyro.sample("w", dist.ImproperUniform(dist.constraints.simplex, (2,), (3,)))
        pyro.sample("s", dist.ImproperUniform(dist.constraints.positive, (), ()))

    for strategy in (init_to_feasible, init_to_uniform(radius=0.5), init_to_median, init_to_mean):
        trace = pyro.poutine.trace(InitMessenger(strategy)(flat)).get_trace()
        x, w, s = (trace.nodes[name]["value"] for name in "xws")
        assert x.shape == w.shape == (2, 3) and x.abs().max() <= 0.5
        assert torch.allclose(w.sum(-1), torch.ones(2)) and s.log().abs() <= 0.5
    with pytest.raises(NotImplementedError, match="does not support sampling"):
        pyro.poutine.trace(InitMessenger(init_to_sample)(flat)).get_trace()


def test_uniform_stays_within_the_radius():
    for _ in range(20):
        values = start(init_to_uniform(radius=0.5))
        assert values["x"].abs() <= 0.5 and values["s"].log().abs() <= 0.5 and values["z"].log().abs().max() <= 0.5


def test_value_and_its_fallback():
    values = start(init_to_value(values={"x": torch.tensor(7.0)}, fallback=init_to_feasible))
    assert values["x"] == 7 and values["s"] == 1
    with pytest.raises(SupportError, match="no initial value for site 's'"):
        start(init_to_value(values={"x": torch.tensor(7.0)}, fallback=None))


def test_generated_makes_one_strategy_for_each_run():
    made = []

    def generate():
        made.append(len(made))
        return init_to_value(values={"x": torch.tensor(float(len(made)))}, fallback=init_to_feasible)

    strategy = init_to_generated(generate=generate)
    assert [start(strategy)["x"].item() for _ in range(3)] == [1, 2, 3] and len(made) == 3


def test_strategies_without_a_site_return_strategies():
    assert init_to_feasible() is init_to_feasible and init_to_sample() is init_to_sample
    assert isinstance(init_to_uniform(radius=1.0), functools.partial)
    assert start(init_to_sample)["z"].shape == (2,)


def test_misshapen_values_are_refused_by_name():
    with pytest.raises(ShapeError, match="initial value of site 'z' has another shape"):
        start(init_to_value(values={"z": torch.ones(3)}, fallback=init_to_feasible))


def test_observed_sites_and_plates_are_left_alone():
    def observed():
        with pyro.plate("p", 3):
            return pyro.sample("x", dist.Normal(0.0, 1.0), obs=torch.ones(3))

    with InitMessenger(init_to_feasible):
        assert torch.equal(observed(), torch.ones(3))
