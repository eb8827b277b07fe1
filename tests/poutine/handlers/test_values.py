"""`condition`, `uncondition`, `do`, `replay`, `substitute`, `seed`."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

import pyroxene
import pyroxene.distributions as dist
from pyroxene import poutine
from pyroxene.errors import ReplayError, UsageError
from pyroxene.poutine.handlers import (
    ConditionMessenger,
    DoMessenger,
    ReplayMessenger,
    SeedMessenger,
    SubstituteMessenger,
    UnconditionMessenger,
)

THREE, ONES = torch.tensor(3.0), torch.ones(3)


def model():
    p = pyroxene.param("p", torch.tensor(1.0), constraint=dist.constraints.positive)
    x = pyroxene.sample("x", dist.Normal(0.0, p))
    with pyroxene.plate("pl", 3):
        y = pyroxene.sample("y", dist.Normal(x, 1.0))
        pyroxene.sample("z", dist.Normal(y, 1.0), obs=torch.arange(3.0))
    return x


def nodes(fn):
    return poutine.trace(fn).get_trace().nodes


def forms(handler, messenger_class, **kwargs):
    """The model in a handler: wrapped, decorated, and in a block."""

    @handler(**kwargs)
    def decorated():
        return model()

    def inside():
        with handler(**kwargs) as messenger:
            assert isinstance(messenger, messenger_class)
            return model()

    return [handler(model, **kwargs), decorated, inside]


# condition and uncondition ------------------------------------------------------------------------------------------


def test_condition():
    for form in forms(poutine.condition, ConditionMessenger, data={"x": THREE, "z": ONES}):
        sites = nodes(form)
        assert sites["x"]["value"] is THREE and sites["x"]["is_observed"] and sites["_RETURN"]["value"] is THREE
        assert sites["z"]["value"] is ONES and not sites["y"]["is_observed"]


def test_condition_takes_a_trace_and_passes_none_over():
    trace = poutine.trace(model).get_trace()
    sites = nodes(poutine.condition(model, trace))
    assert all(sites[name]["value"] is trace.nodes[name]["value"] and sites[name]["is_observed"] for name in "xyz")
    assert not nodes(poutine.condition(model, data={"x": None}))["x"]["is_observed"]


def test_condition_from_outside_of_a_plate_and_inside_of_one():
    assert nodes(poutine.condition(model, data={"y": ONES}))["y"]["fn"].batch_shape == (3,)

    def draw():
        return pyroxene.sample("x", dist.Normal(0.0, 1.0))

    with pyroxene.plate("outer", 3):
        site = nodes(poutine.condition(draw, data={"x": ONES}))["x"]
    assert site["fn"].batch_shape == (3,) and len(site["cond_indep_stack"]) == 1


@pytest.mark.parametrize("handler", [poutine.condition, poutine.do, poutine.substitute])
def test_values_come_by_name(handler):
    with pytest.raises(UsageError, match="takes values by site name") as caught:
        handler(model, data=THREE)
    assert caught.value.hint


def test_uncondition():
    for form in forms(poutine.uncondition, UnconditionMessenger):
        site = nodes(form)["z"]
        assert not site["is_observed"] and site["infer"]["was_observed"]
        assert site["infer"]["obs"].tolist() == [0, 1, 2] != site["value"].tolist()


def test_uncondition_and_condition_in_either_order():
    data = {"x": THREE}
    outside = nodes(poutine.uncondition(poutine.condition(model, data=data)))
    assert not outside["x"]["is_observed"] and outside["x"]["infer"]["obs"] is THREE
    inside = nodes(poutine.condition(poutine.uncondition(model), data=data))
    assert inside["x"]["is_observed"] and not inside["z"]["is_observed"]


def test_uncondition_of_a_deterministic_site_draws_the_same():
    sites = nodes(poutine.uncondition(lambda: pyroxene.deterministic("d", THREE)))
    assert sites["d"]["value"] == 3 and not sites["d"]["is_observed"]


# do -----------------------------------------------------------------------------------------------------------------


def test_do_changes_what_is_downstream_and_leaves_the_site_s_density():
    for form in forms(poutine.do, DoMessenger, data={"x": THREE}):
        sites = nodes(form)
        assert list(sites) == ["_INPUT", "p", "x", "pl", "y", "z", "_RETURN"]
        assert not sites["x"]["is_observed"] and sites["x"]["value"] != 3
        assert sites["_RETURN"]["value"] == 3
        assert sites["y"]["fn"].loc.tolist() == [3, 3, 3]


def test_a_trace_inside_sees_both_worlds():
    inner = poutine.trace(model)
    outer = nodes(poutine.do(inner, data={"y": ONES}))
    assert list(outer) == ["_INPUT", "p", "x", "pl", "y", "z", "_RETURN"]
    assert list(inner.trace.nodes) == ["_INPUT", "p", "x", "pl", "y", "y__CF", "z", "_RETURN"]
    factual, counterfactual = inner.trace.nodes["y"], inner.trace.nodes["y__CF"]
    assert counterfactual["value"] is ONES and counterfactual["is_observed"]
    assert factual["value"] is outer["y"]["value"]
    for site in (outer["y"], factual, counterfactual):
        assert [frame.name for frame in site["cond_indep_stack"]] == ["pl"]


def test_do_counts_scales_once():
    def scaled():
        with poutine.scale(scale=2.0), pyroxene.plate("p", 10, 5):
            return pyroxene.sample("x", dist.Normal(0.0, 1.0))

    assert nodes(poutine.do(scaled, data={"x": torch.ones(5)}))["x"]["scale"] == 4.0
    assert nodes(poutine.scale(poutine.do(scaled, data={"x": torch.ones(5)}), scale=3.0))["x"]["scale"] == 12.0


def test_do_then_condition_is_a_counterfactual():
    sites = nodes(poutine.condition(poutine.do(model, data={"x": THREE}), data={"x": torch.tensor(1.0), "y": ONES}))
    assert sites["x"]["value"] == 1 and sites["x"]["is_observed"]
    assert sites["y"]["fn"].loc.tolist() == [3, 3, 3] and sites["y"]["value"] is ONES
    sites = nodes(poutine.do(poutine.condition(model, data={"x": torch.tensor(1.0)}), data={"x": 3.0}))
    assert sites["x"]["value"] == 1 and sites["_RETURN"]["value"] == 3


def test_do_twice_at_one_site_warns():
    twice = poutine.do(poutine.do(model, data={"x": THREE}), data={"x": torch.tensor(4.0)})
    with pytest.warns(UserWarning, match="'x' is intervened on twice; the inner value holds"):
        assert twice() == 3


# replay -------------------------------------------------------------------------------------------------------------


def test_replay_gives_latent_sites_their_values_and_infer():
    recorded = poutine.trace(model).get_trace()
    for form in forms(poutine.replay, ReplayMessenger, trace=recorded):
        sites = nodes(form)
        for name in ("x", "y", "pl"):
            assert sites[name]["value"] is recorded.nodes[name]["value"]
            assert sites[name]["infer"] is recorded.nodes[name]["infer"]
        assert sites["z"]["is_observed"]


def test_replay_leaves_sites_that_the_trace_does_not_have():
    recorded = poutine.trace(lambda: pyroxene.sample("x", dist.Normal(0.0, 1.0))).get_trace()
    sites = nodes(poutine.replay(model, recorded))
    assert sites["x"]["value"] is recorded.nodes["x"]["value"] and "y" in sites


def test_replay_and_condition_in_either_order():
    recorded = poutine.trace(model).get_trace()
    for fn in (
        poutine.replay(poutine.condition(model, data={"x": THREE}), trace=recorded),
        poutine.condition(poutine.replay(model, trace=recorded), data={"x": THREE}),
    ):
        assert nodes(fn)["x"]["value"] is THREE and nodes(fn)["x"]["is_observed"]


def test_replay_params():
    for form in forms(poutine.replay, ReplayMessenger, params={"p": THREE}):
        assert nodes(form)["p"]["value"] is THREE


def test_replay_repeats_a_subsample():
    def subsampled():
        with pyroxene.plate("p", 100, 3) as indices:
            return indices

    recorded = poutine.trace(subsampled).get_trace()
    assert poutine.replay(subsampled, trace=recorded)() is recorded.nodes["_RETURN"]["value"]


@pytest.mark.parametrize("conflict", [poutine.condition(model, data={"x": THREE}), lambda: pyroxene.param("x", THREE)])
def test_replay_of_a_site_that_was_not_sampled(conflict):
    recorded = poutine.trace(conflict).get_trace()
    with pytest.raises(RuntimeError, match="site 'x' must be sampled in the trace") as caught:
        poutine.replay(model, trace=recorded)()
    assert isinstance(caught.value, ReplayError) and caught.value.hint and "in model" in str(caught.value)


def test_replay_of_nothing():
    with pytest.raises(ValueError, match="replay needs a trace or params"):
        poutine.replay(model)


# substitute and seed ------------------------------------------------------------------------------------------------


def test_substitute_puts_values_in_the_place_of_params():
    for form in forms(poutine.substitute, SubstituteMessenger, data={"p": THREE}):
        assert nodes(form)["p"]["value"] is THREE
    assert "p" not in pyroxene.get_param_store()
    assert nodes(poutine.substitute(model, data={"p": None, "q": THREE}))["p"]["value"] == 1


def test_seed_makes_runs_equal_and_restores_the_generators():
    pyroxene.set_rng_seed(7)
    expected = torch.rand(1), random.random(), np.random.rand()
    pyroxene.set_rng_seed(7)
    values = [form() for form in forms(poutine.seed, SeedMessenger, rng_seed=5)]
    assert values[0] == values[1] == values[2] == poutine.seed(model, 5)() != poutine.seed(model, 6)()
    assert (torch.rand(1), random.random(), np.random.rand()) == expected


def test_seed_restores_the_generators_after_an_error():
    before = torch.get_rng_state()
    with pytest.raises(ZeroDivisionError), poutine.seed(rng_seed=3):
        raise ZeroDivisionError
    assert (torch.get_rng_state() == before).all()


@pytest.mark.parametrize("wrong", ["a", torch.tensor(3), None])
def test_a_seed_is_an_integer(wrong):
    with pytest.raises(AssertionError, match="seed takes an integer"):
        poutine.seed(model, rng_seed=wrong)
