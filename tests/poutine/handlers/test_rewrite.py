"""`lift`, `reparam`, `infer_config`, `equalize`."""

from __future__ import annotations

import pytest
import torch

import pyroxene
import pyroxene.distributions as dist
from pyroxene import poutine
from pyroxene.errors import ShapeError, UsageError
from pyroxene.poutine.handlers import (
    EqualizeMessenger,
    InferConfigMessenger,
    LiftMessenger,
    ReparamHandler,
    ReparamMessenger,
)

PRIOR = dist.Exponential(1.0)


def model():
    p = pyroxene.param("p", torch.tensor(1.0), constraint=dist.constraints.positive)
    x = pyroxene.sample("x", dist.Normal(1.0, p))
    with pyroxene.plate("pl", 3):
        return pyroxene.sample("y", dist.Normal(x, 2.0))


def nodes(fn, *args, **kwargs):
    return poutine.trace(fn).get_trace(*args, **kwargs).nodes


# lift ----------------------------------------------------------------------------------------------------------------


def test_lift_in_three_forms():
    @poutine.lift(prior={"p": PRIOR})
    def decorated():
        return model()

    def inside():
        with poutine.lift(prior=PRIOR) as messenger:
            assert isinstance(messenger, LiftMessenger)
            return model()

    for form in (poutine.lift(model, {"p": PRIOR}), decorated, inside):
        site = nodes(form)["p"]
        assert site["type"] == "sample" and site["fn"] is PRIOR and not site["is_observed"]
    assert "p" not in pyroxene.get_param_store()


def test_lifted_sites_can_be_observed_and_hidden():
    lifted = poutine.lift(model, prior={"p": PRIOR})
    assert nodes(poutine.condition(lifted, data={"p": torch.tensor(2.0)}))["x"]["fn"].scale == 2
    assert "p" not in nodes(poutine.block(lifted, hide=["p"]))


def test_a_param_that_is_read_twice_is_one_variable():
    twice = poutine.lift(lambda: (pyroxene.param("p", torch.ones(())), pyroxene.param("p")), prior={"p": PRIOR})
    for _ in range(2):
        first, second = nodes(twice)["_RETURN"]["value"]
        assert first is second
    assert twice()[0] is not twice()[0]


def test_lift_with_a_stochastic_function():
    seen = []

    def prior(*args, **kwargs):
        seen.append((args, sorted(kwargs)))
        return pyroxene.sample("inner", dist.Delta(torch.tensor(5.0)))

    assert list(nodes(poutine.lift(model, prior=prior))) == ["_INPUT", "inner", "x", "pl", "y", "_RETURN"]
    assert nodes(poutine.lift(model, prior={"p": prior}))["p"]["value"] == 5
    assert seen == [((1.0,), ["constraint", "event_dim"])] * 2


def test_lift_over_a_module():
    net = torch.nn.Sequential(torch.nn.Linear(2, 1), torch.nn.Linear(1, 1, bias=False))

    def with_module():
        pyroxene.module("net", net, update_module_params=True)
        return net[0].bias

    before = net[0].weight
    priors = {
        "0.weight": dist.Normal(0.0, 1.0).expand([1, 2]).to_event(2),
        "net$$$0.bias": dist.Delta(torch.ones(1) * 9),
    }
    sites = nodes(poutine.lift(with_module, prior=priors))
    assert [sites[f"net$$$0.{name}"]["type"] for name in ("weight", "bias")] == ["sample", "sample"]
    assert sites["net$$$1.weight"]["type"] == "param" and sites["_RETURN"]["value"] == 9
    assert net[0].weight is not before


def test_lift_says_which_priors_were_of_no_use():
    with pytest.warns(UserWarning, match="no param site is named 'q'"):
        poutine.lift(model, prior={"p": PRIOR, "q": PRIOR})()
    with pytest.raises(UsageError, match="lift takes a prior"):
        poutine.lift(model, prior=3)


# reparam -------------------------------------------------------------------------------------------------------------


class Decenter:
    """A strategy as a user writes it: the site becomes a function of a standard normal one."""

    seen = None

    def apply(self, msg):
        self.seen = sorted(msg), self.args_kwargs
        fn = msg["fn"]
        noise = pyroxene.sample(f"{msg['name']}_decentered", dist.Normal(torch.zeros_like(fn.loc), 1.0))
        value = fn.loc + fn.scale * noise
        return {"fn": dist.Delta(value, event_dim=fn.event_dim).mask(False), "value": value, "is_observed": True}


class Older:
    """The older form: a callable of (name, fn, obs)."""

    def __call__(self, name, fn, obs):
        new = Decenter.apply(self, {"name": name, "fn": fn, "value": obs, "is_observed": obs is not None})
        return new["fn"], new["value"]


@pytest.mark.parametrize("strategy", [Decenter(), Older()])
def test_reparam_in_three_forms(strategy):
    config = {"x": strategy, "y": strategy}

    @poutine.reparam(config=config)
    def decorated():
        return model()

    def inside():
        with poutine.reparam(config=config) as messenger:
            assert isinstance(messenger, ReparamMessenger)
            return model()

    wrapped = poutine.reparam(model, config)
    assert isinstance(wrapped, ReparamHandler)
    by_function = poutine.reparam(model, config=lambda site: config.get(site["name"]))
    for form in (wrapped, decorated, inside, by_function):
        sites = nodes(form)
        assert list(sites) == ["_INPUT", "p", "x_decentered", "x", "pl", "y_decentered", "y", "_RETURN"]
        assert sites["x"]["is_observed"] and sites["x"]["value"] == 1 + sites["x_decentered"]["value"]
        assert sites["y_decentered"]["fn"].batch_shape == (3,) and sites["_RETURN"]["value"] is sites["y"]["value"]


def test_a_strategy_sees_the_site_and_the_model_s_arguments():
    strategy = Decenter()
    poutine.reparam(lambda a, b: pyroxene.sample("x", dist.Normal(a, b)), config={"x": strategy})(0.0, b=1.0)
    assert strategy.seen == (["fn", "is_observed", "name", "value"], ((0.0,), {"b": 1.0}))
    assert strategy.args_kwargs is None


def test_a_strategy_may_change_only_the_distribution():
    class Shift:
        def apply(self, msg):
            return {**msg, "fn": dist.Normal(100.0, 0.001)}

    site = nodes(poutine.reparam(model, config={"x": Shift()}))["x"]
    assert site["value"] > 99 and not site["is_observed"]
    observed = poutine.condition(model, data={"x": torch.tensor(100.0)})
    site = nodes(poutine.reparam(observed, config={"x": Shift()}))["x"]
    assert site["value"] == 100 and site["is_observed"]


def test_plates_are_not_reparametrised():
    names = []
    poutine.reparam(model, config=lambda site: names.append(site["name"]))()
    assert names == ["x", "y"]


def test_a_value_that_does_not_fit_is_refused():
    class Wrong:
        def apply(self, msg):
            return {"fn": dist.Delta(torch.zeros(4)), "value": torch.zeros(4), "is_observed": True}

    def pair():
        return pyroxene.sample("x", dist.Normal(torch.zeros(2), 1.0).to_event(1))

    with pytest.raises(ShapeError, match="made a value of another shape") as caught:
        poutine.reparam(pair, config={"x": Wrong()})()
    assert caught.value.site == "x" and caught.value.source[2] == "pair"
    with pytest.raises(AssertionError, match="reparam takes a configuration"):
        poutine.reparam(model, config=3)


# infer_config and equalize -------------------------------------------------------------------------------------------


def test_infer_config():
    def config_fn(site):
        return {"told": site["name"]}

    @poutine.infer_config(config_fn=config_fn)
    def decorated():
        return model()

    def inside():
        with poutine.infer_config(config_fn=config_fn) as messenger:
            assert isinstance(messenger, InferConfigMessenger)
            return model()

    for form in (poutine.infer_config(model, config_fn), decorated, inside):
        assert [nodes(form)[name]["infer"]["told"] for name in ("p", "x", "y")] == ["p", "x", "y"]


def pair():
    return pyroxene.sample("a", dist.Normal(0.0, 1.0)), pyroxene.sample("ab", dist.Normal(9.0, 1.0))


@pytest.mark.parametrize("sites", [["a", "ab"], "ab?", ["a.?"]])
def test_equalize(sites):
    @poutine.equalize(sites=sites)
    def decorated():
        return pair()

    def inside():
        with poutine.equalize(sites=sites) as messenger:
            assert isinstance(messenger, EqualizeMessenger)
            return pair()

    for form in (poutine.equalize(pair, sites), decorated, inside):
        trace = poutine.trace(form).get_trace()
        assert trace.nodes["a"]["value"] is trace.nodes["ab"]["value"]
        trace.compute_log_prob()
        assert trace.nodes["ab"]["log_prob_sum"] == 0 and trace.nodes["ab"]["infer"]["_deterministic"]
        assert poutine.trace(form).get_trace().nodes["a"]["value"] != trace.nodes["a"]["value"]
    trace = poutine.trace(poutine.equalize(pair, sites, keep_dist=True)).get_trace()
    assert trace.nodes["ab"]["is_observed"] and trace.nodes["ab"]["fn"].loc == 9


def test_a_pattern_matches_whole_names():
    a, ab = poutine.equalize(pair, "a")()
    assert a != ab


def test_equalize_params():
    def params():
        return pyroxene.param("a", torch.tensor(1.0)), pyroxene.param("b", torch.tensor(2.0))

    a, b = poutine.equalize(params, ["a", "b"], "param")()
    assert a is b and list(pyroxene.get_param_store()) == ["a"]
