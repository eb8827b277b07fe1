"""The statements: sample, param, plate, factor, deterministic, subsample, module, barrier."""

from __future__ import annotations

import copy
import warnings

import pytest
import torch

import pyroxene
import pyroxene.distributions as dist
from pyroxene import poutine
from pyroxene.errors import (
    MissingParamError,
    NotCallableError,
    ParamStoreError,
    SiteError,
    UnsupportedError,
    UsageError,
)

NORMAL = dist.Normal(0.0, 1.0)
ONE = torch.tensor(1.0)


def nodes(fn, *args):
    trace = poutine.trace(fn).get_trace(*args)
    trace.compute_log_prob()
    return trace.nodes


# sample --------------------------------------------------------------------------------------------------------------


def test_sample_without_handlers():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert pyroxene.sample("x", dist.Normal(torch.zeros(2), 1.0)).shape == (2,)
        assert pyroxene.sample("x", NORMAL, torch.Size([5])).shape == (5,)
        assert pyroxene.sample("f", lambda a, b=1: a + b, 2, b=3) == 5
        pyroxene.deterministic("d", ONE)
        pyroxene.sample("y", dist.Normal(torch.zeros(2), 1.0), obs=torch.ones(2), obs_mask=torch.tensor([True, False]))
    with pytest.warns(RuntimeWarning, match="trying to observe a value outside of inference at x"):
        assert pyroxene.sample("x", NORMAL, obs=ONE) is ONE
    with pytest.warns(RuntimeWarning, match="at f"):
        pyroxene.factor("f", ONE)


def test_sample_with_handlers():
    sites = nodes(lambda: [pyroxene.sample("x", NORMAL, infer={"k": 1}), pyroxene.sample("y", NORMAL, obs=ONE)])
    assert not sites["x"]["is_observed"] and sites["x"]["infer"] == {"k": 1}
    assert sites["y"]["is_observed"] and sites["y"]["value"] is ONE
    assert "test_primitives.py" in sites["x"]["source"][0]
    trace = poutine.trace(lambda: pyroxene.sample("f", lambda a, b=1: torch.tensor(a + b), 2, b=3)).get_trace()
    assert (trace.nodes["f"]["value"], trace.nodes["f"]["args"], trace.nodes["f"]["kwargs"]) == (5, (2,), {"b": 3})


def test_a_value_without_an_observation():
    infer = {"is_observed": False, "k": 1}
    site = nodes(lambda: pyroxene.sample("x", NORMAL, obs=ONE, infer=infer))["x"]
    assert site["value"] is ONE and not site["is_observed"] and site["infer"] == {"k": 1}
    assert infer == {"is_observed": False, "k": 1}


@pytest.mark.parametrize("call", [lambda fn: fn(), lambda fn: poutine.trace(fn)()], ids=["outside", "traced"])
def test_a_function_that_is_no_distribution(call):
    with pytest.raises(TypeError, match="site 'x' needs a distribution") as caught:
        call(lambda: pyroxene.sample("x", 3.0))
    assert isinstance(caught.value, NotCallableError) and caught.value.site == "x" and "Delta" in caught.value.hint


def test_partly_observed():
    mask, data = torch.tensor([True, False, True]), torch.tensor([1.0, float("nan"), 3.0])

    def model(obs):
        with pyroxene.plate("p", 3):
            return pyroxene.sample("x", NORMAL, obs=obs, obs_mask=mask)

    sites = nodes(model, data)
    assert list(sites) == ["_INPUT", "p", "x_observed", "x_unobserved", "x", "_RETURN"]
    observed, latent, whole = (sites[name] for name in ("x_observed", "x_unobserved", "x"))
    assert observed["is_observed"] and not latent["is_observed"] and whole["infer"]["_deterministic"]
    assert whole["value"][[0, 2]].tolist() == [1, 3] and whole["value"][1] == latent["value"][1]
    torch.testing.assert_close(observed["log_prob"], torch.tensor([-1.4189, 0.0, -5.4189]), atol=1e-4, rtol=0)
    assert latent["log_prob"][[0, 2]].tolist() == [0, 0] and whole["log_prob_sum"] == 0
    assert not nodes(model, None)["x_observed"]["is_observed"]
    assert data.isnan().tolist() == [False, True, False]


def test_partly_observed_events():
    mask = torch.tensor([True, False])
    data = torch.tensor([[0.2, 0.8], [float("nan"), float("nan")]])

    def model(obs, obs_mask):
        with pyroxene.plate("p", 2):
            return pyroxene.sample("x", dist.Dirichlet(torch.ones(2)), obs=obs, obs_mask=obs_mask)

    value = nodes(model, data, mask)["x"]["value"]
    assert value[0].tolist() == data[0].tolist() and value[1].sum() == pytest.approx(1.0)
    assert not nodes(model, data * float("nan"), torch.tensor([False, False]))["x"]["value"].isnan().any()


@pytest.mark.parametrize(("known", "source"), [(True, "x_observed"), (False, "x_unobserved")])
def test_wholly_or_not_at_all_observed(known, source):
    sites = nodes(lambda: pyroxene.sample("x", NORMAL, obs=ONE, obs_mask=known))
    assert sites["x"]["value"] is sites[source]["value"]


def test_a_mask_of_numbers_is_refused():
    with pytest.raises(UsageError, match="obs_mask is a bool"):
        pyroxene.sample("x", NORMAL, obs=ONE, obs_mask=torch.ones(1))


def test_checks_can_be_switched_off():
    with pyroxene.validation_enabled(False):
        assert pyroxene.sample("x", dist.Normal(0.0, -1.0)) is not None
        assert not poutine.is_validation_enabled()
    assert poutine.is_validation_enabled()
    pyroxene.enable_validation(False)
    assert not poutine.is_validation_enabled()
    pyroxene.enable_validation()
    assert poutine.is_validation_enabled()


# param ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("traced", [False, True])
def test_param(traced):
    def model():
        first = pyroxene.param("w", lambda: torch.tensor(2.0), constraint=dist.constraints.positive)
        return first, pyroxene.param("w")

    first, second = poutine.trace(model)() if traced else model()
    assert first == second == 2 and first.requires_grad and first.unconstrained() is second.unconstrained()
    assert first.unconstrained().is_leaf


@pytest.mark.parametrize("call", [lambda fn: fn(), lambda fn: poutine.trace(fn)()], ids=["outside", "traced"])
def test_a_param_that_is_not_there(call):
    pyroxene.param("other", ONE)
    with pytest.raises(KeyError, match="param 'w' is not in the store") as caught:
        call(lambda: pyroxene.param("w"))
    assert isinstance(caught.value, MissingParamError) and "other" in str(caught.value)


def test_a_param_of_an_earlier_model():
    pyroxene.param("w", torch.zeros(2))
    with pytest.raises(ParamStoreError, match="left there by an earlier model"):
        pyroxene.param("w", torch.zeros(3))


def test_the_message_of_a_param():
    seen = {}

    class Keep(poutine.Messenger):
        def _pyro_param(self, msg):
            seen.update(msg)

    with Keep():
        pyroxene.param("w", ONE, constraint=dist.constraints.positive, event_dim=0)
    assert seen["args"] == ("w", ONE)
    assert seen["kwargs"] == {"constraint": dist.constraints.positive, "event_dim": 0}


# plates --------------------------------------------------------------------------------------------------------------


def test_plate_is_a_statement_too():
    with pyroxene.plate("rows", 3, dim=-2), pyroxene.plate("columns", 4, dim=-1) as indices:
        assert pyroxene.sample("x", NORMAL).shape == (3, 4)
    assert indices.tolist() == [0, 1, 2, 3]
    with pyroxene.plate_stack("grid", (2, 3)):
        assert pyroxene.sample("x", NORMAL).shape == (2, 3)
    assert list(pyroxene.plate(name="loop", size=2, device="cpu")) == [0, 1]


def test_subsample():
    data = torch.arange(10.0)
    assert pyroxene.subsample(data, event_dim=0) is data
    with pyroxene.plate("p", 10, 3) as indices:
        assert (pyroxene.subsample(data, event_dim=0) == data[indices]).all()
        assert pyroxene.subsample(torch.ones(1), event_dim=0).shape == (1,)
    with pytest.raises(AssertionError, match="event dimensions"):
        pyroxene.subsample(data, event_dim=-1)


# other statements ----------------------------------------------------------------------------------------------------


def test_factor():
    def model():
        pyroxene.factor("f", torch.tensor(2.0))
        with pyroxene.plate("p", 3):
            pyroxene.factor("g", torch.arange(3.0))
            pyroxene.factor("h", 1.5, has_rsample=True)

    sites = nodes(model)
    assert sites["f"]["log_prob"] == 2 and sites["f"]["is_observed"] and sites["f"]["infer"] == {"is_auxiliary": True}
    assert sites["g"]["log_prob"].tolist() == [0, 1, 2] and sites["h"]["log_prob"].tolist() == [1.5] * 3
    assert sites["h"]["fn"].has_rsample


def test_deterministic():
    value = torch.ones(3, 2)

    def model():
        pyroxene.deterministic("all", value)
        with pyroxene.plate("p", 3):
            return pyroxene.deterministic("rows", value, event_dim=1)

    sites = nodes(model)
    assert sites["_RETURN"]["value"] is value and sites["rows"]["fn"].event_shape == (2,)
    assert sites["all"]["fn"].event_shape == (3, 2) and sites["all"]["log_prob_sum"] == 0
    with pytest.raises(SiteError, match="'d' is no tensor"):
        pyroxene.deterministic("d", 2.0)


def test_barrier_is_the_identity():
    assert pyroxene.barrier(ONE) is ONE
    trace = poutine.trace(lambda: pyroxene.barrier(ONE)).get_trace()
    assert trace.nodes["_RETURN"]["value"] is ONE and len(trace) == 2


def test_markov_condition_and_do_are_at_hand():
    assert list(pyroxene.markov(range(2))) == [0, 1]
    assert pyroxene.condition is poutine.condition and pyroxene.do is poutine.do


# module --------------------------------------------------------------------------------------------------------------


def test_a_module_s_parameters_are_param_sites():
    net = torch.nn.Linear(2, 1)
    net.bias.requires_grad_(False)
    trace = poutine.trace(lambda: pyroxene.module("net", net)).get_trace()
    assert trace.param_nodes == ["net$$$weight"] and trace.nodes["_RETURN"]["value"] is net
    assert pyroxene.param("net$$$weight").unconstrained() is net.weight


def test_a_second_module_of_the_same_name():
    first, second = torch.nn.Linear(2, 1), torch.nn.Linear(2, 1)
    own = second.weight
    pyroxene.module("net", first)
    with pytest.warns(UserWarning, match="the store holds other values"):
        pyroxene.module("net", second)
    assert second.weight is own
    assert pyroxene.module("net", second, update_module_params=True) is second
    assert second.weight is first.weight
    assert pyroxene.module("net", first) is first


def test_a_module_takes_what_handlers_give():
    net = torch.nn.Sequential(torch.nn.Linear(2, 1))
    zeros = {"net$$$0.weight": torch.zeros(1, 2), "net$$$0.bias": torch.ones(1)}

    def model():
        return pyroxene.module("net", copy.deepcopy(net), update_module_params=True)(torch.ones(2))

    assert poutine.substitute(model, data=zeros)() == 1


@pytest.mark.parametrize(("wrong", "error"), [(lambda: 1, AssertionError), (torch.nn.Linear, NotImplementedError)])
def test_module_takes_an_instance(wrong, error):
    with pytest.raises(error, match="module registers") as caught:
        pyroxene.module("net", wrong)
    assert isinstance(caught.value, UnsupportedError if error is NotImplementedError else UsageError)
    assert caught.value.hint
