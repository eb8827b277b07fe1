"""`GuideMessenger`: a guide that runs the model."""

from __future__ import annotations

import pytest
import torch

import pyroxene
import pyroxene.distributions as dist
from pyroxene import poutine
from pyroxene.errors import GuideError, MissingSiteError
from pyroxene.poutine.handlers import GuideMessenger


def model(data):
    x = pyroxene.sample("x", dist.Normal(0.0, 1.0))
    pyroxene.param("w", torch.ones(1))
    with pyroxene.plate("p", len(data), 3) as indices:
        y = pyroxene.sample("y", dist.Normal(x, 1.0))
        pyroxene.sample("o", dist.Normal(y, 1.0), obs=data[indices])
    pyroxene.factor("f", x)
    return pyroxene.deterministic("d", x + 1)


class Guide(GuideMessenger):
    def get_posterior(self, name, prior):
        loc = pyroxene.param(f"{name}_loc", torch.full((), 7.0))
        if name == "y":
            assert self.upstream_value("x") > 6
            assert prior.batch_shape == (3,) and prior.loc.eq(self.upstream_value("x")).all()
        return dist.Normal(loc, 0.01)


DATA = torch.arange(5.0)


def test_a_guide_is_abstract():
    with pytest.raises(TypeError, match="abstract"):
        GuideMessenger(model)


def test_the_guide_returns_the_values_of_the_model_s_sites():
    guide = Guide(model)
    values = guide(DATA)
    assert guide.model is model and list(values) == ["x", "y", "o", "f", "d"]
    assert values["d"] == values["x"] + 1 and (values["y"] - 7).abs().max() < 0.1
    assert values["y"].shape == (3,)


def test_the_guide_as_others_see_it():
    trace = poutine.trace(Guide(model)).get_trace(DATA)
    assert list(trace.nodes) == ["_INPUT", "x_loc", "x", "w", "p", "y_loc", "y", "_RETURN"]
    assert trace.nodes["y"]["fn"].loc.tolist() == [7, 7, 7] and trace.nodes["y"]["scale"] == 5 / 3
    assert isinstance(trace.nodes["y"]["infer"]["prior"], dist.Normal)


def test_both_traces():
    guide = Guide(model)
    outer = poutine.trace(guide).get_trace(DATA)
    model_trace, guide_trace = guide.get_traces()
    assert list(guide_trace.nodes) == ["x", "y"]
    assert list(model_trace.nodes) == ["x_loc", "x", "w", "y_loc", "y", "o", "f", "d"]
    assert model_trace.nodes["x"]["fn"].loc == 0 and guide_trace.nodes["x"]["fn"].loc == 7
    for name in "xy":
        assert model_trace.nodes[name]["value"] is guide_trace.nodes[name]["value"] is outer.nodes[name]["value"]
    assert model_trace.nodes["o"]["is_observed"] and "_do_not_trace" not in model_trace.nodes["o"]["infer"]
    replayed = poutine.trace(poutine.replay(model, trace=outer)).get_trace(DATA)
    torch.testing.assert_close(model_trace.log_prob_sum(), replayed.log_prob_sum())
    torch.testing.assert_close(guide_trace.log_prob_sum(), outer.log_prob_sum())


def test_observed_sites_keep_their_distributions_and_what_follows_them():
    def chain():
        pyroxene.sample("x", dist.Normal(0.0, 1.0))
        z = pyroxene.sample("z", dist.Normal(0.0, 1.0), obs=torch.tensor(50.0))
        pyroxene.sample("y", dist.Normal(z, 1.0))

    class Check(GuideMessenger):
        def get_posterior(self, name, prior):
            assert prior.loc == (50 if name == "y" else 0)
            return prior

    assert Check(chain)()["z"] == 50


def test_a_conditioned_guide_samples_the_rest():
    trace = poutine.trace(poutine.condition(Guide(model), data={"x": torch.tensor(6.5)})).get_trace(DATA)
    assert trace.nodes["x"]["is_observed"] and not trace.nodes["y"]["is_observed"]


def test_point_estimates_and_broadcasting():
    def pair():
        with pyroxene.plate("p", 3):
            return pyroxene.sample("x", dist.Normal(0.0, 1.0).expand([3, 2]).to_event(1))

    class Point(GuideMessenger):
        def get_posterior(self, name, prior):
            return torch.ones(2)

    guide = Point(pair)
    assert guide()["x"].tolist() == [[1, 1]] * 3
    fn = guide.get_traces()[1].nodes["x"]["fn"]
    assert isinstance(fn, dist.Delta) and (fn.batch_shape, fn.event_shape) == ((3,), (2,))


@pytest.mark.parametrize("posterior", [dist.Normal(torch.zeros(3), 1.0), dist.Normal(torch.zeros(3), 1.0).to_event(1)])
def test_a_posterior_of_another_shape(posterior):
    class Wrong(GuideMessenger):
        def get_posterior(self, name, prior):
            return posterior

    with pytest.raises(GuideError, match="another shape than its prior") as caught:
        Wrong(model)(DATA)
    assert caught.value.site == "x" and "batch_shape ()" in str(caught.value)


def test_values_that_are_not_upstream():
    class Early(GuideMessenger):
        def get_posterior(self, name, prior):
            return self.upstream_value("y")

    with pytest.raises(KeyError, match="site 'y' is not upstream") as caught:
        Early(model)(DATA)
    assert isinstance(caught.value, MissingSiteError)


def test_the_elbo_is_pyro_s():
    """Losses of pyro-ppl 1.9.2 with the same seed: Adam(lr=0.1), Trace_ELBO, this model and this guide."""

    def small():
        p = pyroxene.param("p", torch.tensor(1.0), constraint=dist.constraints.positive)
        x = pyroxene.sample("x", dist.Normal(0.0, p))
        with pyroxene.plate("pl", 3):
            y = pyroxene.sample("y", dist.Normal(x, 1.0))
            pyroxene.sample("z", dist.Normal(y, 1.0), obs=torch.arange(3.0))

    class Local(GuideMessenger):
        def get_posterior(self, name, prior):
            return dist.Normal(pyroxene.param(f"l_{name}", torch.zeros(prior.batch_shape)), 0.1)

    pyroxene.set_rng_seed(0)
    optim = pyroxene.optim.Adam({"lr": 0.1})
    svi = pyroxene.infer.SVI(small, Local(small), optim, pyroxene.infer.Trace_ELBO())
    assert [svi.step() for _ in range(3)] == pytest.approx([10.93424, 12.06664, 13.3556], abs=1e-4)
